//! One chain from its first manifest to its last: numbers, links, trees,
//! signatures, anchors and sums; its objects go to the workers.

use super::finding::{Finding, FindingKind, Records};
use super::objects::{Batch, Job};
use super::report::{ChainReport, Report};
use super::signers::Signers;
use super::sums::Sums;
use super::{VerifyError, unix_microseconds};
use crate::evidence::anchor::{Head, Heads};
use crate::evidence::chain::{ChainPlace, ChainReader, Found, Item};
use crate::evidence::merkle::{self, Hash, Tree};
use crate::evidence::note::Verifier;
use crate::evidence::store::EvidenceSource;
use crate::record::SequenceSet;
use std::collections::HashSet;
use std::iter::Peekable;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

/// What is known of a chain once its manifests are read.
pub(super) struct Links {
    pub(super) report: ChainReport,
    /// Numbers whose manifests are findings.
    pub(super) holes: SequenceSet,
    pub(super) retention_days: Option<u32>,
    /// Objects that signed manifests give up and that are indeed not there.
    pub(super) excused: HashSet<String>,
    /// Whether the end of the chain is a finding.
    pub(super) cut: bool,
}

/// Follows one chain.
pub(super) struct Follower<'a> {
    pub(super) source: &'a dyn EvidenceSource,
    pub(super) place: &'a ChainPlace,
    pub(super) signers: Signers,
    pub(super) keys: &'a [Verifier],
    pub(super) anchors: Option<crate::evidence::anchor::AnchorFile>,
    pub(super) at: u64,
    pub(super) any_beginning: bool,
    pub(super) jobs: SyncSender<Job>,
    pub(super) report: &'a mut Report,
}

/// A manifest that the next one may follow from.
struct Forerunner {
    hash: Hash,
    tree: Option<Tree>,
}

#[derive(Default)]
struct State {
    forerunners: Vec<Forerunner>,
    last: Option<u64>,
    /// Numbers whose only manifest is altered.
    bad: SequenceSet,
    heads: Option<Peekable<Heads>>,
    anchored_before: Option<Head>,
    newest: Option<(u64, u64)>,
}

impl Follower<'_> {
    pub(super) fn follow(mut self) -> Result<Links, VerifyError> {
        let mut state = State::default();
        let mut sums = Sums::default();
        let mut links = Links {
            report: ChainReport::default(),
            holes: SequenceSet::new(),
            retention_days: None,
            excused: HashSet::new(),
            cut: false,
        };
        let mut reader = ChainReader::open(self.source, self.place)?;
        while let Some(item) = reader.next()? {
            match item {
                Item::Manifest(found) => self.manifest(*found, &mut state, &mut sums, &mut links)?,
                Item::Foreign(path) => {
                    self.find(
                        FindingKind::ForeignObject,
                        &path,
                        "it is no manifest of this chain",
                        Vec::new(),
                    );
                }
                Item::Bad { path, number, why } => {
                    self.find(FindingKind::ManifestAltered, &path, &why, Vec::new());
                    if state.last.is_none_or(|last| number > last) {
                        state.bad.insert(number);
                    }
                }
            }
        }
        self.end(state, &mut links)?;
        let folder = self.place.folder.clone();
        let (boots, declared, at_most) = sums.end(&folder, self.report);
        links.report.boots = boots;
        links.report.declared = declared;
        links.report.at_most = at_most;
        self.signers.end(&folder, self.report);
        Ok(links)
    }

    fn find(&mut self, kind: FindingKind, place: &str, detail: &str, records: Vec<Records>) {
        self.report.find(Finding { kind, place: place.to_owned(), detail: detail.to_owned(), records });
    }

    fn manifest(
        &mut self,
        found: Found,
        state: &mut State,
        sums: &mut Sums,
        links: &mut Links,
    ) -> Result<(), VerifyError> {
        self.report.manifests += 1;
        let number = found.manifest.number;
        if state.last.is_none() {
            self.begin(&found, state, links)?;
        }
        let fork = state.last == Some(number);
        if fork {
            let detail = format!("another manifest has the number {number} too");
            self.find(FindingKind::Fork, &found.path, &detail, Vec::new());
        }
        let missing = self.missing(number, state, links);
        let altered = state.bad.contains(number.wrapping_sub(1));
        if missing.is_none() && !altered && !fork {
            self.link(&found, state);
        }
        self.signers.see(&self.place.folder.clone(), &found, self.report);
        self.anchor(&found, state)?;

        let tree = found.manifest.tree().map(|mut tree| {
            tree.push(&found.bytes);
            tree
        });
        let follows = missing.is_none() && !altered && !fork && state.forerunners.len() <= 1;
        if !fork {
            let follows = follows && (state.last.is_some() || number == 0);
            let hidden = sums.see(&found.path, &found.manifest, follows, self.report);
            if let Some(detail) = &missing {
                let folder = self.place.folder.clone();
                self.find(FindingKind::ManifestMissing, &folder, detail, hidden);
            }
            state.forerunners.clear();
        }
        state.forerunners.push(Forerunner { hash: found.hash, tree });
        state.last = Some(number);
        self.note(&found, state, links);
        self.hand_out(found, links)
    }

    /// What is before the first manifest that is there.
    fn begin(&mut self, found: &Found, state: &mut State, links: &mut Links) -> Result<(), VerifyError> {
        let manifest = &found.manifest;
        links.report.instance.clone_from(&manifest.instance);
        links.report.destination.clone_from(&manifest.destination);
        if let Some(file) = &self.anchors {
            let error = |source| VerifyError::Anchor { path: file.path().to_owned(), source };
            let mut heads = file.heads(&manifest.instance, &manifest.destination).map_err(error)?.peekable();
            while let Some(Ok(head)) =
                heads.next_if(|head| head.as_ref().is_ok_and(|h| h.number < manifest.number))
            {
                state.anchored_before = Some(head);
            }
            state.heads = Some(heads);
        }
        Ok(())
    }

    /// Whether manifests before this one are gone, in words.
    fn missing(&mut self, number: u64, state: &State, links: &mut Links) -> Option<String> {
        let from = match state.last {
            Some(last) => last.saturating_add(1),
            None if self.is_anchored_before(number, state) => {
                self.report.notes.push(format!(
                    "{}: manifests before {number} are gone; an anchor proves where the chain stood then",
                    self.place.folder
                ));
                return None;
            }
            None if self.any_beginning && number > 0 => {
                let folder = &self.place.folder;
                self.report.notes.push(format!("{folder}: history before manifest {number} is unproved"));
                return None;
            }
            None => 0,
        };
        let mut gone = SequenceSet::new();
        if from < number {
            gone.insert_range(from, number - 1);
        }
        let gone = gone.difference(&state.bad);
        links.holes.union(&gone);
        let (first, last) = (gone.iter().next()?.0, gone.last()?);
        let before = if state.last.is_none() { "; history before is unproved" } else { "" };
        Some(match gone.count() {
            1 => format!("manifest {first} is not there{before}"),
            count => format!("{count} manifests from {first} to {last} are not there{before}"),
        })
    }

    fn is_anchored_before(&self, number: u64, state: &State) -> bool {
        let own = match &state.heads {
            Some(_) if number == 0 => return false,
            Some(_) => state.anchored_before.as_ref(),
            None => return false,
        };
        own.is_some_and(|head| head.number.checked_add(1) == Some(number) && head.hashes(self.keys).is_some())
    }

    fn link(&mut self, found: &Found, state: &State) {
        let manifest = &found.manifest;
        let previous = manifest.previous.as_deref().and_then(merkle::unhex);
        let wrong = match state.last {
            None if manifest.number == 0 => (manifest.previous.is_some() || manifest.tree_size != 0)
                .then_some("it is the first and names one before it"),
            None => match &state.anchored_before {
                Some(head)
                    if head.tree_root != manifest.tree_root
                        || manifest.previous.as_deref() != Some(head.sha256.as_str()) =>
                {
                    let detail = "it does not follow from the manifest that was anchored before it";
                    self.find(FindingKind::AnchorContradicted, &found.path, detail, Vec::new());
                    return;
                }
                _ => None,
            },
            Some(_) => {
                let before = state.forerunners.iter().find(|before| Some(before.hash) == previous);
                match before {
                    None => Some("it does not follow from the manifest before it"),
                    Some(before) if before.tree.is_some() && before.tree != manifest.tree() => {
                        Some("its tree is not that of the manifests before it")
                    }
                    Some(_) => None,
                }
            }
        };
        if let Some(wrong) = wrong {
            self.find(FindingKind::ChainBroken, &found.path, wrong, Vec::new());
        }
    }

    /// Holds a manifest to what was anchored under its number.
    fn anchor(&mut self, found: &Found, state: &mut State) -> Result<(), VerifyError> {
        let Some(heads) = &mut state.heads else { return Ok(()) };
        let number = found.manifest.number;
        let mut wrong = None;
        loop {
            let due = |head: &std::io::Result<Head>| head.as_ref().map_or(true, |head| head.number <= number);
            let Some(head) = heads.next_if(due) else { break };
            let head = head.map_err(|source| VerifyError::Anchor {
                path: self.anchors.as_ref().map(|file| file.path().to_owned()).unwrap_or_default(),
                source,
            })?;
            match head.hashes(self.keys) {
                None => wrong = Some("its anchor is not signed by the pinned key, or contradicts itself"),
                Some((sha256, _)) if head.number == number && sha256 != found.hash => {
                    wrong = Some("another manifest was anchored under this number");
                }
                Some(_) => {}
            }
        }
        if let Some(wrong) = wrong {
            self.find(FindingKind::AnchorContradicted, &found.path, wrong, Vec::new());
        }
        Ok(())
    }

    fn note(&mut self, found: &Found, state: &mut State, links: &mut Links) {
        let manifest = &found.manifest;
        let first = links.report.numbers.map_or(manifest.number, |(first, _)| first);
        links.report.numbers = Some((first, manifest.number));
        links.report.last.clone_from(&manifest.time);
        links.report.closed = manifest.closed;
        links.retention_days = manifest.retention_days;
        state.newest = unix_microseconds(&manifest.time).map(|time| (time, manifest.heartbeat_seconds));
    }

    /// Objects to the workers; those that are given up are looked for here.
    fn hand_out(&mut self, found: Found, links: &mut Links) -> Result<(), VerifyError> {
        for expired in &found.manifest.expired {
            let path = self.place.object(&found.manifest, &expired.key);
            self.report.given_up += 1;
            if self.source.open(&path)?.is_none() {
                links.excused.insert(path);
            }
        }
        let packed = unix_microseconds(&found.manifest.time).unwrap_or(u64::MAX);
        let batch = Arc::new(Batch::new(found.manifest, packed));
        for index in 0..batch.manifest.objects.len() {
            // Workers end early only when reading failed, which they tell themselves.
            if self.jobs.send(Job { batch: Arc::clone(&batch), index }).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Whether what should follow the last manifest is there.
    fn end(&mut self, mut state: State, links: &mut Links) -> Result<(), VerifyError> {
        links.holes.union(&state.bad);
        let folder = self.place.folder.clone();
        let mut ahead: Option<(u64, u64)> = None;
        for head in state.heads.take().into_iter().flatten() {
            let head = head.map_err(|source| VerifyError::Anchor {
                path: self.anchors.as_ref().map(|file| file.path().to_owned()).unwrap_or_default(),
                source,
            })?;
            let first = ahead.map_or(head.number, |(first, _)| first.min(head.number));
            let last = ahead.map_or(head.number, |(_, last)| last.max(head.number));
            if !state.bad.contains(head.number) {
                ahead = Some((first, last));
            }
        }
        if let Some((first, last)) = ahead {
            let detail = format!("manifests {first} to {last} were anchored and are not there");
            self.find(FindingKind::AnchoredMissing, &folder, &detail, Vec::new());
            links.cut = true;
            links.holes.insert_range(first, last);
            return Ok(());
        }
        let Some((time, heartbeat)) = state.newest else { return Ok(()) };
        let beaten = state.bad.last() > state.last;
        if links.report.closed || beaten {
            return Ok(());
        }
        if heartbeat == 0 {
            self.report.notes.push(format!("{folder}: no heartbeat is stated; a cut end can't be told"));
            return Ok(());
        }
        // A manifest is due each heartbeat; it is missed once it is late by one more.
        let silent = self.at.saturating_sub(time) / 1_000_000;
        if silent > heartbeat.saturating_mul(2) {
            let detail = format!(
                "silent for {silent} s after manifest {}, which did not close the chain and promised the next \
                 within {heartbeat} s: what followed was removed, or the gateway died or can't deliver",
                state.last.unwrap_or_default()
            );
            self.find(FindingKind::TailMissing, &folder, &detail, Vec::new());
            links.cut = true;
        }
        Ok(())
    }
}
