//! What an operator can set about evidence.

use crate::secret::Secret;

/// The evidence settings (`[evidence]`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvidenceOptions {
    /// The Ed25519 key that signs manifests: PEM (PKCS#8) or the base64 of a
    /// 32-byte seed. `None`: one is made in the spool directory.
    pub key: Option<Secret>,
    /// The key that signed until now, for a hand-over.
    pub previous_key: Option<Secret>,
    /// The signer's name in notes. `None`: `onrecord/{instance}`.
    pub name: Option<String>,
}

impl EvidenceOptions {
    /// The signer's name: the one that was set, or one made of the instance's
    /// name with what a note's key name may not hold replaced by `-`.
    #[must_use]
    pub fn signer_name(&self, instance: &str) -> String {
        self.name.clone().unwrap_or_else(|| {
            let odd = |c: char| c.is_whitespace() || c.is_control() || c == '+';
            format!("onrecord/{}", instance.replace(odd, "-"))
        })
    }
}
