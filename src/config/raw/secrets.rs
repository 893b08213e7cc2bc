//! `[secrets]`.

use super::Table;
use crate::config::reference::{Absent, Key, Kind, Section};
use crate::secret::SecretRef;

/// Where the private key is, unless it is set otherwise.
const VARIABLE: &str = "ONRECORD_SECRETS_KEY";

pub(crate) static SECTION: Section = Section {
    path: "secrets",
    many: false,
    doc: "Secrets that stand encrypted in this file, as `{ encrypted = \"Base64\" }`; `onrecord encrypt-secret` or `openssl pkeyutl` makes them.",
    keys: &[Key {
        name: "key",
        kind: Kind::Secret,
        absent: Absent::Unset("`{ env = \"ONRECORD_SECRETS_KEY\" }`"),
        doc: "The private key that secrets are encrypted to: RSA of 4096 bits, PEM, PKCS #8. It can't be encrypted itself.",
    }],
};

pub(super) fn read(table: Table<'_>) -> SecretRef {
    let key = table.secret("key").unwrap_or_else(default);
    table.finish();
    key
}

/// The key's place where none is set.
pub(crate) fn default() -> SecretRef {
    SecretRef::Env(VARIABLE.to_owned())
}
