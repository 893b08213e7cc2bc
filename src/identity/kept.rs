//! The facts that a restart keeps: those of good tokens, in one file (mode 0600).
//!
//! A line of JSON a fact, keyed by source and fingerprint. The file is replaced as a whole.
//! A line that can't be read is passed over: its token is judged again when it next comes.

use super::facts::{Fact, Facts, Who};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

/// The file's name in its folder.
const FILE: &str = "facts.jsonl";
/// A fact is kept so long after its token has run out, since records may still wait for it.
const KEPT_AFTER: u64 = 7 * 86_400 * 1_000_000;
/// The longest file that is read.
const MOST_BYTES: u64 = 256 << 20;

#[derive(Serialize, Deserialize)]
struct Line {
    source: String,
    rules: u32,
    fingerprint: String,
    r#type: String,
    id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    email: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    issuer: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    app: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    delegate: String,
    #[serde(default)]
    introspected: bool,
    not_before: u64,
    not_after: u64,
}

/// Takes up what the file says of these sources.
pub(super) fn load(dir: &Path, facts: &HashMap<String, Arc<Facts>>, now: u64) -> io::Result<()> {
    let file = match std::fs::File::open(dir.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for line in io::BufReader::new(file.take(MOST_BYTES)).lines() {
        let line = line?;
        let Ok(line) = serde_json::from_str::<Line>(&line) else { continue };
        let fingerprint = u128::from_str_radix(&line.fingerprint, 16).map(u128::to_be_bytes);
        let (Some(facts), Ok(fingerprint)) = (facts.get(&line.source), fingerprint) else { continue };
        if line.rules != facts.rules || line.not_after.saturating_add(KEPT_AFTER) < now {
            continue;
        }
        let who = Who {
            kind: if line.r#type == "service" { "service" } else { "user" },
            id: line.id,
            name: line.name,
            email: line.email,
            issuer: line.issuer,
            app: line.app,
            delegate: line.delegate,
        };
        let (not_before, not_after) = (line.not_before, line.not_after);
        let introspected = line.introspected;
        facts.put(fingerprint, Fact { who: Some(who), reason: None, introspected, not_before, not_after });
    }
    Ok(())
}

/// Replaces the file.
pub(super) fn save(dir: &Path, facts: &HashMap<String, Arc<Facts>>, now: u64) -> io::Result<()> {
    replace(dir, FILE, |out| {
        for (source, facts) in facts {
            for (fingerprint, fact) in facts.good() {
                let Some(who) = &fact.who else { continue };
                if fact.not_after.saturating_add(KEPT_AFTER) < now {
                    continue;
                }
                let line = Line {
                    source: source.clone(),
                    rules: facts.rules,
                    fingerprint: format!("{:032x}", u128::from_be_bytes(fingerprint)),
                    r#type: who.kind.to_owned(),
                    id: who.id.clone(),
                    name: who.name.clone(),
                    email: who.email.clone(),
                    issuer: who.issuer.clone(),
                    app: who.app.clone(),
                    delegate: who.delegate.clone(),
                    introspected: fact.introspected,
                    not_before: fact.not_before,
                    not_after: fact.not_after,
                };
                serde_json::to_writer(&mut *out, &line)?;
                out.write_all(b"\n")?;
            }
        }
        Ok(())
    })
}

/// Replaces a file of this folder (mode 0600) by what `write` writes: as a whole or not at all.
pub(super) fn replace(
    dir: &Path,
    name: &str,
    write: impl FnOnce(&mut io::BufWriter<std::fs::File>) -> io::Result<()>,
) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let new = dir.join(format!(".{name}.new"));
    let _ = std::fs::remove_file(&new);
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let mut out = io::BufWriter::new(file);
    write(&mut out)?;
    out.into_inner()?.sync_all()?;
    std::fs::rename(new, dir.join(name))
}
