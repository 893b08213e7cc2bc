//! The directory as destination.

use super::conformance::conforms;
use onrecord::deliver::{Body, Cause, Created, Destination, DirStore, Object, ObjectKind};
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
    let store = DirStore::new(&root);
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
    let store = DirStore::new(dir.path());
    for key in ["a", "b"] {
        assert_eq!(run(store.create(object(key))), Ok(Created::Created));
        assert_eq!(fs::read(dir.path().join(key)).unwrap(), b"x");
    }
    assert_eq!(fs::read(dir.path().join("elsewhere")).unwrap(), b"whole");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
}

#[test]
fn no_key_leaves_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let store = DirStore::new(&root);
    for key in ["../x", "a/../../x", "/x", "a//b", "", "a/", ".", "a/.", "a\0b"] {
        assert_eq!(run(store.create(object(key))).unwrap_err().cause, Cause::Policy, "{key:?}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_refusal_names_its_cause_and_the_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let store = DirStore::new(&dir.path().join("file"));
    let error = run(store.create(object("a/b"))).unwrap_err();
    assert!(error.words.contains("file"), "{error}");
    assert_eq!(error.cause, Cause::NotFound);
    for cause in Cause::ALL {
        assert!(cause.mend().ends_with('.'), "{}", cause.as_str());
    }
}
