//! The house plan, held by reading the code: who may import whom, how long a
//! file may be, which names say nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Parts from the lowest floor up. A part imports from its own floor or below;
/// on one floor, parts may know each other unless it is said otherwise.
const FLOORS: [&[&str]; 8] = [
    &[
        "bucket",
        "call",
        "egress",
        "clock",
        "error_chain",
        "http1",
        "metrics",
        "patterns",
        "record",
        "secret",
        "timer",
    ],
    &["routes", "format", "identity", "spool"],
    &["inspect"],
    &["capture", "journal", "recorder", "enrich", "pack", "deliver", "evidence", "health", "notify"],
    &["proxy", "server"],
    &["config", "admin"],
    &["app", "cli"],
    &["main"],
];

/// Pairs that never meet, though their floors would allow it.
const STRANGERS: [(&str, &str); 5] = [
    ("capture", "deliver"),
    ("deliver", "capture"),
    // The spool knows bytes, not records: frames and gaps are all it sees.
    ("spool", "format"),
    ("spool", "routes"),
    ("format", "spool"),
];

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    crate::harness::gateway::all_files(&root, &mut paths);
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    paths.sort();
    assert!(!paths.is_empty());
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path.strip_prefix(&root).unwrap().to_owned(), text)
        })
        .collect()
}

/// The part that a file belongs to: its folder or its name below `src`.
fn part(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

fn floor(part: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&part))
}

/// The parts that a file names with `crate::`, in a `use` or in a path; `use crate::{a, b}` too.
fn imports(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let name = |text: &str| -> String {
        text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    // Doc links and comments speak of other parts, but do not import them.
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut start = 0;
            for (at, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => {
                        found.insert(name(group[start..at].trim()));
                        break;
                    }
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        found.insert(name(group[start..at].trim()));
                        start = at + 1;
                    }
                    _ => {}
                }
            }
        } else {
            found.insert(name(rest));
        }
    }
    found.remove("");
    found
}

#[test]
fn parts_import_only_from_their_own_floor_or_below() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let from = part(&path);
        if from == "lib" {
            continue;
        }
        let Some(own) = floor(&from) else {
            faults.push(format!("src/{}: `{from}` has no floor in the house plan", path.display()));
            continue;
        };
        for to in imports(&text) {
            // Macros and items of the crate's root have no floor.
            let Some(other) = floor(&to) else { continue };
            if other > own {
                faults.push(format!("src/{} imports `{to}`, which lies above `{from}`", path.display()));
            }
            if STRANGERS.contains(&(from.as_str(), to.as_str())) {
                faults.push(format!("src/{}: `{from}` and `{to}` must not meet", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_reader_of_imports_finds_them_in_every_form() {
    let text = "use crate::clock::Clock;\nuse crate::{record::{Gap, wire}, spool};\n// crate::cli\nlet a = crate::pack::plan();";
    let found: Vec<String> = imports(text).into_iter().collect();
    assert_eq!(found, ["clock", "pack", "record", "spool"]);
    assert!(imports("$crate::app::x(); mycrate::cli::y();").is_empty());
}

#[test]
fn no_source_file_is_longer_than_500_lines() {
    let long: Vec<String> = sources()
        .iter()
        .filter(|(_, text)| text.lines().count() > 500)
        .map(|(path, text)| format!("src/{}: {} lines", path.display(), text.lines().count()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn no_name_hides_a_job() {
    let vague = ["util", "utils", "common", "helper", "helpers", "misc", "manager", "types", "prelude"];
    for (path, _) in sources() {
        for component in path.components() {
            let name = component.as_os_str().to_string_lossy();
            let name = name.trim_end_matches(".rs");
            assert!(!vague.contains(&name), "src/{}", path.display());
        }
    }
}

#[test]
fn unsafe_code_stays_in_the_ring_and_beneath_heads() {
    for (path, text) in sources() {
        let beneath_heads = ["http1/values.rs", "http1/lanes.rs"];
        let allowed =
            path.starts_with("capture/ring") || beneath_heads.iter().any(|file| path.ends_with(file));
        let has = text.contains("allow(unsafe_code") || text.contains("expect(unsafe_code");
        assert!(allowed || !has, "src/{} allows unsafe code", path.display());
    }
}
