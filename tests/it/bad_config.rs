//! A configuration with mistakes is refused with all of them at once.

use crate::harness::gateway::{Gateway, Source, onrecord};

/// Ten mistakes, one a line; each is said with its line.
const TEN: &str = r#"
[server]
workers = "many"
grace = "soon"
wrokers = 2

[[source]]
name = "onrecord"
listen = "127.0.0.1"
upstream = "ftp://somewhere"

[[source]]
name = "b"
listen = "127.0.0.1:18080"
upstream = "http://127.0.0.1:9"
catalogues = ["contentful-delvery"]
odd_paths = "maybe"

[ring]
bytes = "64 parsecs"

[spool]
when_full = "explode"

[[destination]]
name = "main"
type = "dri"
path = "objects"
"#;

#[test]
fn ten_mistakes_are_ten_lines_with_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.toml");
    std::fs::write(&path, TEN).unwrap();
    let path = path.display().to_string();
    for command in ["check", "run"] {
        let (code, output) = onrecord(&[command, "--config", &path], &[]);
        assert!(code.is_some_and(|code| code != 0), "{command} exits with {code:?}:\n{output}");
        let lines = output.lines().filter(|line| line.contains("proxy.toml:")).count();
        assert!(lines >= 10, "{command} names {lines} places, not ten:\n{output}");
        for part in ["workers", "grace", "wrokers", "onrecord", "listen", "upstream", "contentful-delivery"] {
            assert!(output.contains(part), "{command} does not speak of `{part}`:\n{output}");
        }
        for part in ["odd_paths", "bytes", "when_full", "type"] {
            assert!(output.contains(part), "{command} does not speak of `{part}`:\n{output}");
        }
        for (number, line) in TEN.lines().enumerate() {
            if ["workers = \"", "grace =", "wrokers", "odd_paths", "when_full"]
                .iter()
                .any(|key| line.starts_with(key))
            {
                let place = format!("proxy.toml:{}", number + 1);
                assert!(output.contains(&place), "{command} does not name {place} ({line}):\n{output}");
            }
        }
    }
}

#[test]
fn a_check_touches_nothing() {
    let gateway = Gateway::builder().source(Source::new("api", "http://127.0.0.1:9")).prepare();
    let config = gateway.config_path().display().to_string();
    let (code, output) = gateway.command(&["check", "--config", &config]);
    assert_eq!(code, Some(0), "{output}");
    assert!(!gateway.spool().exists() && !gateway.ring().exists() && !gateway.destination("main").exists());
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.toml").display().to_string();
    let (code, output) = onrecord(&["run", "--config", &missing], &[]);
    assert!(code != Some(0) && output.contains("none.toml"), "{code:?} {output}");
    let broken = folder.path().join("broken.toml");
    std::fs::write(&broken, "[server\nworkers = = 2\n").unwrap();
    let (code, output) = onrecord(&["run", "--config", &broken.display().to_string()], &[]);
    assert!(code != Some(0) && output.contains("broken.toml:"), "{code:?} {output}");
    std::fs::write(&broken, [0xff, 0xfe, 0, 1]).unwrap();
    let (code, output) = onrecord(&["check", "--config", &broken.display().to_string()], &[]);
    assert!(code != Some(0) && !output.contains("panicked"), "{code:?} {output}");
}

#[test]
fn help_and_version_teach() {
    let (code, help) = onrecord(&["--help"], &[]);
    assert_eq!(code, Some(0));
    for command in ["run", "check", "demo", "account"] {
        assert!(help.contains(command), "--help does not name `{command}`:\n{help}");
    }
    let (code, version) = onrecord(&["--version"], &[]);
    assert_eq!(code, Some(0));
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
}

#[test]
fn the_configuration_of_the_repository_passes_its_own_check() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/proxy.toml");
    let (code, output) = onrecord(&["check", "--config", path], &[]);
    assert_eq!(code, Some(0), "{output}");
}
