//! `docs/evidence.md`, done as it says: its commands are run in their order, and what
//! they print is compared with what the page shows.

use crate::harness::gateway::{BINARY, read_lossy};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

/// A block of commands with the output that is shown after it, if any.
struct Step {
    commands: String,
    shown: Option<String>,
}

/// The blocks of `sh` in a page, each with the block of `text` that follows at once.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut parts = page.split("```");
    parts.next();
    while let (Some(block), rest) = (parts.next(), parts.next()) {
        let (language, text) = block.split_once('\n').unwrap();
        match (language, steps.last_mut()) {
            ("sh", _) => steps.push(Step { commands: text.to_owned(), shown: None }),
            ("text", Some(step)) if step.shown.is_none() => step.shown = Some(text.to_owned()),
            _ => {}
        }
        if rest.is_none() {
            break;
        }
    }
    steps
}

/// Whether a line is as shown; `…` stands for anything.
fn fits(line: &str, shown: &str) -> bool {
    let parts: Vec<&str> = shown.split('…').collect();
    let [first, middle @ .., last] = parts.as_slice() else { return line == shown };
    let Some(mut rest) = line.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else {
        return false;
    };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

#[test]
fn the_commands_of_the_evidence_page_print_what_it_shows() {
    let page = read_lossy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/evidence.md"));
    let steps = steps(&page);
    assert!(steps.len() >= 7 && steps.iter().all(|step| step.shown.is_some()), "{}", steps.len());
    let folder = tempfile::tempdir().unwrap();
    let path = format!(
        "{}:{}",
        Path::new(BINARY).parent().unwrap().display(),
        std::env::var("PATH").unwrap_or_default()
    );
    for Step { commands, shown } in steps {
        let output = Command::new("bash")
            .args(["-c", &commands])
            .current_dir(folder.path())
            .env("PATH", &path)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let shown = shown.unwrap_or_default();
        let lines: (Vec<&str>, Vec<&str>) = (said.lines().collect(), shown.lines().collect());
        let same = lines.0.len() == lines.1.len() && lines.0.iter().zip(&lines.1).all(|(a, b)| fits(a, b));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(same, "{commands}\nprints\n{said}\n{errors}\nand the page shows\n{shown}");
    }
}

#[test]
fn a_line_fits_what_is_shown_of_it() {
    assert!(fits("a 1 b 2", "a … b …") && fits("a", "a") && fits("abc", "…"));
    assert!(!fits("a 1 c 2", "a … b …") && !fits("a b", "a") && !fits("ab", "ab…b"));
}

/// All names in a report, wherever they stand.
fn names(value: &serde_json::Value, open: bool, found: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(entries) => {
            for (name, value) in entries {
                if !open {
                    found.insert(name.clone());
                }
                // Kinds of findings and causes of loss have lists of their own.
                names(value, matches!(name.as_str(), "counts" | "declared"), found);
            }
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| names(value, open, found)),
        _ => {}
    }
}

#[test]
fn each_name_in_the_report_for_machines_is_documented() {
    let bucket = crate::evidence::Bucket::fill();
    let copy = bucket.copy("report");
    crate::evidence::flip(&copy.objects()[0], 100);
    let report = copy.finds(&[], &[("object_altered", 1)]);
    let mut found = BTreeSet::new();
    names(&report, false, &mut found);
    assert!(found.contains("among") && found.contains("awaited"), "{found:?}");
    let page = read_lossy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/evidence.md"));
    for name in found {
        assert!(page.contains(&format!("`{name}`")), "docs/evidence.md does not explain {name}");
    }
}
