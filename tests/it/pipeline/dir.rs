//! The directory as destination.

use super::conformance::conforms;
use onrecord::deliver::{Body, Cause, Created, Destination, DirOptions, DirStore, Object, ObjectKind};
use onrecord::evidence::merkle::sha256;
use std::fs;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn object(key: &str) -> Object<'_> {
    Object { key, body: Body::Bytes(b"x"), length: 1, sha256: sha256(b"x"), kind: ObjectKind::Records }
}

#[test]
fn a_directory_conforms_and_leaves_no_temporary_files() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("made/when/missing");
    let store = DirStore::new(&DirOptions::new(&root));
    run(conforms(&store, &|key| fs::read(root.join(key)).unwrap()));
    let dots = super::files(&root);
    let hidden = |path: &&std::path::PathBuf| path.file_name().unwrap().to_string_lossy().starts_with('.');
    assert_eq!(dots.iter().filter(hidden).count(), 0, "{dots:?}");
}

#[test]
fn a_leftover_of_a_crash_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".a"), "half of something longer").unwrap();
    // A crash between giving the name and removing the temporary one.
    fs::write(dir.path().join("elsewhere"), "whole").unwrap();
    fs::hard_link(dir.path().join("elsewhere"), dir.path().join(".b")).unwrap();
    let store = DirStore::new(&DirOptions::new(dir.path()));
    for key in ["a", "b"] {
        assert_eq!(run(store.create(object(key))), Ok(Created::Created));
        assert_eq!(fs::read(dir.path().join(key)).unwrap(), b"x");
    }
    assert_eq!(fs::read(dir.path().join("elsewhere")).unwrap(), b"whole");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
}

#[test]
fn objects_and_folders_have_the_modes_that_are_set_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let mode = |path: &str| fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o7777;
    let mut options = DirOptions::new(&dir.path().join("root"));
    for (file, folder, key) in [(0o666, 0o2777, "a/b/open"), (0o600, 0o700, "c/d/close")] {
        (options.file_mode, options.folder_mode) = (Some(file), Some(folder));
        assert_eq!(run(DirStore::new(&options).create(object(key))), Ok(Created::Created));
        assert_eq!(mode(&format!("root/{key}")), file, "{key}");
        let folders: Vec<u32> = ["a", "a/b", "c", "c/d"]
            .iter()
            .filter(|name| key.starts_with(*name))
            .map(|name| mode(&format!("root/{name}")))
            .collect();
        assert_eq!(folders, [folder, folder], "{key}");
    }
    // A folder that is there keeps its own.
    assert_eq!(mode("root"), 0o2777);
}

#[test]
fn no_key_leaves_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let store = DirStore::new(&DirOptions::new(&root));
    for key in ["../x", "a/../../x", "/x", "a//b", "", "a/", ".", "a/.", "a\0b"] {
        assert_eq!(run(store.create(object(key))).unwrap_err().cause, Cause::Policy, "{key:?}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_refusal_names_its_cause_and_the_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let store = DirStore::new(&DirOptions::new(&dir.path().join("file")));
    let error = run(store.create(object("a/b"))).unwrap_err();
    assert!(error.words.contains("file"), "{error}");
    assert_eq!(error.cause, Cause::NotFound);
    for cause in Cause::ALL {
        assert!(cause.mend().ends_with('.'), "{}", cause.as_str());
    }
}
