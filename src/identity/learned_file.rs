//! The file of what was learned (mode 0600): a line of JSON a fact, keyed by namespace and
//! fingerprint or id. It is replaced as a whole, so that a crash leaves the one before. A
//! line that can't be read is passed over: what it said is learned again.

use super::facts::Who;
use super::kept;
use super::learned::{Entry, Known, Learned};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::path::Path;

/// The file's name in its folder.
const FILE: &str = "learned.jsonl";
/// The longest file that is read.
const MOST_BYTES: u64 = 256 << 20;
/// Types of actors that a line can have.
const KINDS: [&str; 4] = ["user", "app", "api_key", "service"];
/// The type of a line that says where a space belongs.
const SPACE: &str = "space";

#[derive(Default, Serialize, Deserialize)]
struct Line {
    namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    r#type: String,
    id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    email: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    organization: String,
    #[serde(default)]
    own_word: bool,
    not_after: u64,
}

impl Learned {
    /// Takes up what the file in this folder says, without what has expired at `now`.
    ///
    /// # Errors
    /// When there is a file that can't be read.
    pub fn load(&self, dir: &Path, now: u64) -> io::Result<()> {
        let file = match std::fs::File::open(dir.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for line in io::BufReader::new(file.take(MOST_BYTES)).split(b'\n') {
            let Ok(line) = serde_json::from_slice::<Line>(&line?) else { continue };
            if line.r#type == SPACE && line.not_after >= now {
                let organizations = self.organizations(line.namespace.as_bytes());
                organizations.take_up(line.id.as_bytes(), line.organization.as_bytes(), line.not_after);
                self.take_changed();
                continue;
            }
            let kind = KINDS.into_iter().find(|kind| *kind == line.r#type);
            let fingerprint = line.fingerprint.as_deref().map(|text| u128::from_str_radix(text, 16));
            let (Some(kind), Ok(fingerprint)) = (kind, fingerprint.transpose()) else { continue };
            if line.not_after < now {
                continue;
            }
            let who = Who { kind, id: line.id, name: line.name, email: line.email, ..Who::default() };
            let known = Known { who, own_word: line.own_word, not_after: line.not_after };
            self.take_up(line.namespace.as_bytes(), fingerprint.map(u128::to_be_bytes), known);
        }
        Ok(())
    }

    /// Replaces the file in this folder, if something was learned since the last time.
    ///
    /// # Errors
    /// When it can't be written; then the next call tries again.
    pub fn save(&self, dir: &Path, now: u64) -> io::Result<()> {
        self.expire_organizations(now);
        if !self.take_changed() {
            return Ok(());
        }
        let write = |out: &mut io::BufWriter<std::fs::File>| {
            self.each(|entry| {
                let (namespace, fingerprint, known) = match entry {
                    Entry::Credential(namespace, fingerprint, known) => {
                        (namespace, Some(format!("{:032x}", u128::from_be_bytes(fingerprint))), known)
                    }
                    Entry::Person(namespace, known) => (namespace, None, known),
                    Entry::Space(namespace, space, home) => {
                        // An id that is no text is learned anew.
                        let (Ok(id), Ok(organization)) =
                            (std::str::from_utf8(space), std::str::from_utf8(&home.organization))
                        else {
                            return Ok(());
                        };
                        let (namespace, id) =
                            (String::from_utf8_lossy(namespace).into_owned(), id.to_owned());
                        let (organization, not_after) = (organization.to_owned(), home.not_after);
                        let r#type = SPACE.to_owned();
                        let line = Line { namespace, r#type, id, organization, not_after, ..Line::default() };
                        serde_json::to_writer(&mut *out, &line)?;
                        return out.write_all(b"\n");
                    }
                };
                if known.not_after < now {
                    return Ok(());
                }
                let line = Line {
                    namespace: String::from_utf8_lossy(namespace).into_owned(),
                    fingerprint,
                    r#type: known.who.kind.to_owned(),
                    id: known.who.id.clone(),
                    name: known.who.name.clone(),
                    email: known.who.email.clone(),
                    organization: String::new(),
                    own_word: known.own_word,
                    not_after: known.not_after,
                };
                serde_json::to_writer(&mut *out, &line)?;
                out.write_all(b"\n")
            })
        };
        kept::replace(dir, FILE, write).inspect_err(|_| self.set_changed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_was_learned_survives_a_restart_until_it_expires_and_damage_costs_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let learned = Learned::new(1000);
        let who = |id: &str| Who { kind: "app", id: id.to_owned(), name: "N".to_owned(), ..Who::default() };
        learned.learn(b"ns", [1; 16], who("early"), true, 0);
        learned.learn(b"ns", [2; 16], who("late"), true, 500);
        learned.learn_person(b"ns", who("late"), 500);
        learned.organizations(b"ns").learn(b"s1", b"o1", 500);
        learned.save(dir.path(), 600).unwrap();
        let file = dir.path().join(FILE);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let mut text = std::fs::read(&file).unwrap();
        text.extend_from_slice(b"{\"namespace\":\"ns\",\xff\n[1]\n");
        std::fs::write(&file, text).unwrap();
        let again = Learned::new(1000);
        again.load(dir.path(), 1200).unwrap();
        assert!(again.credential(b"ns", &[1; 16], 100).is_none(), "expired");
        assert_eq!(again.credential(b"ns", &[2; 16], 1200), learned.credential(b"ns", &[2; 16], 1200));
        assert_eq!(again.person(b"ns", "late", 1200).unwrap().who.name, "N");
        let home = again.organizations(b"ns").of(b"s1").unwrap();
        assert_eq!((&*home.organization, home.not_after), (&b"o1"[..], 1500));
        assert!(again.organizations(b"other").of(b"s1").is_none());
        // Nothing new: the file is left alone.
        std::fs::remove_file(&file).unwrap();
        again.save(dir.path(), 1200).unwrap();
        assert!(!file.exists());
    }
}
