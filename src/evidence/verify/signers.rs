//! Who has signed a chain, manifest by manifest.

use super::finding::{Finding, FindingKind};
use super::report::{Report, SignerVerdict};
use crate::evidence::chain::Found;
use crate::evidence::merkle;
use crate::evidence::note::{self, NoteError, Verifier};

/// Follows the keys of one chain.
pub(super) struct Signers {
    pinned: bool,
    known: Vec<Verifier>,
    /// Whether a manifest before was signed by a key that counts.
    trusted: bool,
    /// Manifests by another signer: the first, the last, and who.
    strangers: Option<(u64, u64, String)>,
    last: Option<String>,
}

impl Signers {
    /// With the keys that the reader brought, or else those that are published.
    pub(super) fn new(pinned: &[Verifier], published: &[Verifier]) -> Self {
        let known = if pinned.is_empty() { published } else { pinned };
        let pinned = !pinned.is_empty();
        Self { pinned, known: known.to_vec(), trusted: false, strangers: None, last: None }
    }

    /// Looks at the next manifest.
    pub(super) fn see(&mut self, chain: &str, found: &Found, report: &mut Report) {
        let number = found.manifest.number;
        let Ok(note) = note::parse(&found.bytes) else { return };
        let results: Vec<_> = self.known.iter().map(|key| key.check_under_any_name(&note)).collect();
        if results.contains(&Err(NoteError::Forged)) {
            report.find(Finding {
                kind: FindingKind::SignatureInvalid,
                place: found.path.clone(),
                detail: "a signature claims to be by a known key and does not fit the text".to_owned(),
                records: Vec::new(),
            });
            return;
        }
        let signer = note.signatures.last().map_or_else(String::new, |signature| {
            format!("{} (key {})", signature.name, merkle::hex(&signature.key_id))
        });
        let handed_over = self.hand_over(&note, found);
        if self.last.as_ref().is_some_and(|last| *last != signer) && !handed_over && !self.pinned {
            report.notes.push(format!(
                "{chain}: from manifest {number} on {signer} signs, without a hand-over by {}",
                self.last.as_deref().unwrap_or_default()
            ));
        }
        if results.contains(&Ok(())) {
            let led_here = handed_over && !self.trusted;
            if led_here {
                // The pinned key vouches for the chain behind a hand-over that it has signed.
                self.strangers = None;
            }
            self.trusted = true;
            self.flush(chain, report);
        } else {
            let first = self.strangers.as_ref().map_or(number, |(first, _, _)| *first);
            self.strangers = Some((first, number, signer.clone()));
        }
        self.last = Some(signer);
    }

    /// Whether this manifest hands over by right; from then on only the new key counts.
    fn hand_over(&mut self, note: &note::Note<'_>, found: &Found) -> bool {
        let Some(change) = &found.manifest.key_change else { return false };
        let (Some(old), Some(new)) = (Verifier::parse(&change.old), Verifier::parse(&change.new)) else {
            return false;
        };
        if old.check(note).is_err() || new.check(note).is_err() {
            return false;
        }
        if self.knows(&old) {
            self.known.retain(|key| key.public() != old.public());
            if !self.knows(&new) {
                self.known.push(new);
            }
            return true;
        }
        self.knows(&new)
    }

    /// Whether a key counts, under whatever name.
    fn knows(&self, key: &Verifier) -> bool {
        self.known.iter().any(|known| known.public() == key.public())
    }

    /// Ends the chain.
    pub(super) fn end(mut self, chain: &str, report: &mut Report) {
        self.flush(chain, report);
    }

    fn flush(&mut self, chain: &str, report: &mut Report) {
        let Some((first, last, signer)) = self.strangers.take() else { return };
        if self.pinned {
            let (kind, without) = if self.trusted {
                (FindingKind::SignerChanged, "without a hand-over between it and the pinned key")
            } else {
                (FindingKind::SignerUnknown, "which is not the pinned key")
            };
            report.find(Finding {
                kind,
                place: chain.to_owned(),
                detail: format!("manifests {first} to {last} are signed by {signer}, {without}"),
                records: Vec::new(),
            });
        } else {
            report.signer = SignerVerdict::NotChecked;
            report.notes.push(format!(
                "{chain}: no public key is at hand for {signer}, who signed manifests {first} to {last}"
            ));
        }
    }
}
