//! What a real gateway delivered stands up to `verify`; each way to tamper with it
//! is named, and nothing else is.

use crate::harness::gateway::{Gateway, Source, all_files, copy_folder, onrecord, read_lossy};
use crate::harness::load::Load;
use crate::harness::origin::Origin;
use crate::harness::records::{Objects, find_objects};
use onrecord::evidence::keys::SigningKey;
use onrecord::evidence::note::{self, Verifier};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// What a stopped gateway has delivered, to be tampered with in copies.
pub(crate) struct Bucket {
    dir: tempfile::TempDir,
    objects: PathBuf,
    pub(crate) key: String,
    anchor: PathBuf,
}

impl Bucket {
    /// Two boots, the second one closed; several manifests with objects.
    pub(crate) fn fill() -> Self {
        let origin = Origin::start();
        let mut gateway = Gateway::builder()
            .set("evidence", "anchor", "\"anchor.ndjson\"")
            .source(Source::new("api", &origin.url()))
            .start();
        let made = gateway.root().join("spool/keys/evidence.pem");
        let key = gateway.admin("/api/v1/keys").json()["keys"][0].as_str().unwrap().to_owned();
        let mut count = 0;
        for round in 0..2u64 {
            for part in 0..2 {
                count += 150;
                let mut load = Load::calm(round * 2 + part, 150);
                load.first = (round * 2 + part) * 150;
                load.run(gateway.address());
                gateway.wait_for_records(count, crate::harness::PATIENCE);
            }
            assert_eq!(gateway.stop().code(), Some(0));
            if round == 0 {
                gateway.restart();
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let (objects, anchor) = (dir.path().join("objects"), dir.path().join("anchor"));
        copy_folder(&gateway.destination("main"), &objects);
        std::fs::copy(gateway.root().join("anchor.ndjson"), &anchor).unwrap();
        std::fs::copy(made, dir.path().join("signing.key")).unwrap();
        Self { dir, objects, key, anchor }
    }

    /// The key that has signed: who has it can sign anything.
    pub(crate) fn signing_key(&self) -> SigningKey {
        SigningKey::load(&self.dir.path().join("signing.key")).unwrap().unwrap()
    }

    /// A fresh copy.
    pub(crate) fn copy(&self, name: &str) -> Copy {
        let path = self.dir.path().join(name);
        copy_folder(&self.objects, &path);
        Copy { path, key: self.key.clone(), anchor: self.anchor.clone() }
    }
}

pub(crate) struct Copy {
    pub(crate) path: PathBuf,
    pub(crate) key: String,
    pub(crate) anchor: PathBuf,
}

impl Copy {
    pub(crate) fn objects(&self) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        find_objects(&self.path, &mut paths);
        paths.sort();
        assert!(paths.len() >= 3, "{paths:?}");
        paths
    }

    /// In the order of their numbers.
    pub(crate) fn manifests(&self) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        all_files(&self.path.join("_manifests"), &mut paths);
        paths.sort_by_key(|path| path.file_name().unwrap().to_owned());
        assert!(paths.len() >= 5, "{paths:?}");
        paths
    }

    fn verify(&self, more: &[&str]) -> (Option<i32>, serde_json::Value) {
        let path = self.path.display().to_string();
        let mut arguments = vec!["verify", path.as_str(), "--format", "json"];
        arguments.extend(more);
        let (code, output) = onrecord(&arguments, &[]);
        let value = serde_json::from_str(&output).unwrap_or_else(|_| panic!("{code:?}: {output}"));
        (code, value)
    }

    /// Exactly these kinds are found, so often.
    #[track_caller]
    pub(crate) fn finds(&self, more: &[&str], expected: &[(&str, u64)]) -> serde_json::Value {
        let (code, report) = self.verify(more);
        let counts: BTreeMap<String, u64> = serde_json::from_value(report["counts"].clone()).unwrap();
        let expected: BTreeMap<String, u64> = expected.iter().map(|(k, n)| ((*k).to_owned(), *n)).collect();
        assert_eq!(counts, expected, "{report:#}");
        assert_eq!(code, Some(i32::from(!expected.is_empty())), "{report:#}");
        report
    }

    /// With the key and the anchor too.
    #[track_caller]
    fn finds_pinned(&self, expected: &[(&str, u64)]) {
        self.finds(&["--key", &self.key, "--anchor", &self.anchor.display().to_string()], expected);
    }
}

pub(crate) fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = at % bytes.len();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

pub(crate) fn gunzip(path: &Path) -> String {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(&std::fs::read(path).unwrap()[..]).read_to_string(&mut text).unwrap();
    text
}

pub(crate) fn gzip(path: &Path, text: &str) {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(text.as_bytes()).unwrap();
    std::fs::write(path, out.finish().unwrap()).unwrap();
}

/// Puts a manifest with this text in place of one, signed by this key, under the right name.
fn forge(path: &Path, name: &str, key: &SigningKey, change: impl Fn(&str) -> String) -> PathBuf {
    let note = read_lossy(path);
    let (text, _) = note.split_once("\n\n").unwrap();
    let note = note::sign(&format!("{}\n", change(text)), name, key);
    let hash = onrecord::evidence::merkle::hex(&onrecord::evidence::merkle::sha256(&note));
    let old = path.file_name().unwrap().to_string_lossy().into_owned();
    let new = path.with_file_name(format!("{}-{}.json", &old[..29], &hash[..16]));
    std::fs::write(&new, note).unwrap();
    new
}

#[test]
fn untouched_objects_verify_and_each_tampering_is_named_exactly() {
    let bucket = Bucket::fill();
    let whole = bucket.copy("whole");
    let report = whole.finds(&[], &[]);
    assert_eq!(
        (&report["signer"], &report["integrity"], &report["completeness"]),
        (&"not_pinned".into(), &"holds".into(), &"holds".into())
    );
    // Beside the exchanges the gateway's own records.
    let own = Objects::default().own(&whole.path).len();
    assert_eq!(report["records"], 600 + own);
    let boots = report["chains"][0]["boots"].as_array().unwrap();
    assert_eq!(boots.len(), 2, "{report:#}");
    assert!(
        boots.iter().all(|boot| boot["awaited"] == 0 && boot["taken"] == boot["delivered"]),
        "{report:#}"
    );
    assert_eq!(whole.finds(&["--deep", "--key", &bucket.key], &[])["signer"], "pinned");
    whole.finds_pinned(&[]);

    let copy = bucket.copy("flipped");
    flip(&copy.objects()[0], 100);
    let report = copy.finds(&[], &[("object_altered", 1)]);
    assert!(report["findings"][0]["records"][0]["count"].as_u64().unwrap() > 0, "{report:#}");
    copy.finds(&["--deep"], &[("object_altered", 1)]);
    copy.finds_pinned(&[("object_altered", 1)]);

    let copy = bucket.copy("deleted");
    std::fs::remove_file(&copy.objects()[1]).unwrap();
    let report = copy.finds(&["--deep"], &[("object_missing", 1)]);
    assert_eq!((&report["integrity"], &report["completeness"]), (&"holds".into(), &"broken".into()));

    let copy = bucket.copy("no-manifest");
    std::fs::remove_file(&copy.manifests()[2]).unwrap();
    copy.finds(&[], &[("manifest_missing", 1)]);
    copy.finds_pinned(&[("manifest_missing", 1)]);

    let copy = bucket.copy("altered-manifest");
    for at in [40, 400, 1000] {
        let path = &copy.manifests()[1];
        flip(path, at);
        copy.finds(&[], &[("manifest_altered", 1)]);
        flip(path, at);
    }
    copy.finds(&[], &[]);

    let copy = bucket.copy("cut");
    std::fs::remove_file(copy.manifests().last().unwrap()).unwrap();
    copy.finds(&["--at", "2100-01-01"], &[("tail_missing", 1)]);
    copy.finds_pinned(&[("anchored_missing", 1)]);

    let copy = bucket.copy("swapped");
    let objects = copy.objects();
    let (one, two) = (std::fs::read(&objects[0]).unwrap(), std::fs::read(&objects[1]).unwrap());
    std::fs::write(&objects[0], two).unwrap();
    std::fs::write(&objects[1], one).unwrap();
    copy.finds(&[], &[("object_swapped", 2)]);

    let copy = bucket.copy("replayed");
    let object = &copy.objects()[0];
    let name = object.file_name().unwrap().to_string_lossy().into_owned();
    let (stem, _) = name.rsplit_once('-').unwrap();
    std::fs::copy(object, object.with_file_name(format!("{stem}-99.jsonl.gz"))).unwrap();
    copy.finds(&[], &[("foreign_object", 1)]);

    let copy = bucket.copy("foreign");
    std::fs::write(copy.path.join("log_source=api/extra.jsonl.gz"), b"x").unwrap();
    std::fs::write(copy.path.join("_onrecord/notes.txt"), b"x").unwrap();
    copy.finds(&[], &[("foreign_object", 2)]);

    let copy = bucket.copy("edited");
    let object = &copy.objects()[0];
    let text = gunzip(object);
    gzip(object, &text.replacen("\"event.outcome\":\"", "\"event.outcome\":\"not ", 1));
    copy.finds(&[], &[("object_altered", 1)]);
    copy.finds(&["--deep"], &[("records_altered", 1)]);
    gzip(object, &text);
    let report = copy.finds(&["--deep"], &[("object_altered", 1)]);
    assert!(report["findings"][0]["detail"].as_str().unwrap().contains("packed anew"), "{report:#}");
}

#[test]
fn forged_manifests_are_found_with_a_key_or_an_anchor() {
    let bucket = Bucket::fill();
    let stranger = SigningKey::from_seed(&[66; 32]).unwrap();
    let name = bucket.key.split('+').next().unwrap().to_owned();

    // The newest manifest made anew by another key: only a key or an anchor can tell.
    let copy = bucket.copy("forged");
    let newest = copy.manifests().pop().unwrap();
    let forged = forge(&newest, &name, &stranger, |text| text.replace("\"closed\":true", "\"closed\":true "));
    std::fs::remove_file(&newest).unwrap();
    copy.finds(&[], &[]);
    copy.finds(&["--key", &copy.key], &[("signer_changed", 1)]);
    copy.finds(&["--anchor", &copy.anchor.display().to_string()], &[("anchor_contradicted", 1)]);
    assert!(forged.exists());

    // Beside the true one it is a fork.
    let copy = bucket.copy("fork");
    let second = copy.manifests()[1].clone();
    forge(&second, &name, &stranger, |text| text.replace("\"closed\":false", "\"closed\":false "));
    copy.finds(&[], &[("fork", 1)]);

    // In its place the chain breaks.
    let copy = bucket.copy("broken");
    let second = copy.manifests()[1].clone();
    forge(&second, &name, &stranger, |text| text.replace("\"closed\":false", "\"closed\":false "));
    std::fs::remove_file(&second).unwrap();
    copy.finds(&[], &[("chain_broken", 1)]);

    // Another key pinned: nothing here is by it.
    let other = Verifier::new(&name, stranger.public()).to_string();
    bucket.copy("other").finds(&["--key", &other], &[("signer_unknown", 1)]);
}

#[test]
fn the_oldest_manifests_may_go_up_to_an_anchored_one() {
    let bucket = Bucket::fill();
    let copy = bucket.copy("begun-later");
    let (manifests, objects) = (copy.manifests(), copy.objects());
    for (path, number) in manifests.iter().zip(0..2) {
        std::fs::remove_file(path).unwrap();
        for object in
            objects.iter().filter(|path| path.to_string_lossy().contains(&format!("-{number}.jsonl")))
        {
            std::fs::remove_file(object).unwrap();
        }
    }
    copy.finds(&[], &[("manifest_missing", 1)]);
    copy.finds_pinned(&[]);
}

#[test]
fn a_record_is_proved_without_the_bucket_and_a_changed_proof_is_not() {
    let bucket = Bucket::fill();
    let copy = bucket.copy("proved");
    let object = &copy.objects()[0];
    let text = gunzip(object);
    let line = text.lines().nth(text.lines().count() / 2).unwrap();
    let id =
        serde_json::from_str::<serde_json::Value>(line).unwrap()["event.id"].as_str().unwrap().to_owned();
    let file = bucket.dir.path().join("proof.json").display().to_string();
    let path = copy.path.display().to_string();
    let (code, output) = onrecord(&["prove", "--id", &id, &path, "--out", &file], &[]);
    assert_eq!(code, Some(0), "{output}");
    let (code, output) = onrecord(&["verify", "--proof", &file, "--key", &bucket.key], &[]);
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains(line) && output.contains("the pinned key"), "{output}");
    let (code, output) = onrecord(&["verify", "--proof", &file], &[]);
    assert!(code == Some(0) && output.contains("signer not pinned"), "{output}");

    let proof = read_lossy(Path::new(&file));
    for (from, to) in
        [("onrecord.instance", "onrecord.instanze"), ("\"index\": ", "\"index\": 1"), ("taken", "tooken")]
    {
        assert!(proof.contains(from), "{from}");
        std::fs::write(&file, proof.replacen(from, to, 1)).unwrap();
        let (code, output) = onrecord(&["verify", "--proof", &file, "--key", &bucket.key], &[]);
        assert_eq!(code, Some(1), "{from}: {output}");
    }
    let unknown = "019a0000-0000-7000-8000-000000000000";
    let (code, output) = onrecord(&["prove", "--id", unknown, &path], &[]);
    assert!(code == Some(1) && output.contains("no object"), "{output}");
}

#[test]
fn a_key_is_handed_over_and_a_change_without_hand_over_is_told() {
    let origin = Origin::start();
    let folder = tempfile::tempdir().unwrap();
    let key = |name: &str| folder.path().join(name).display().to_string();
    let mut public = BTreeMap::new();
    for name in ["one", "two", "three"] {
        let (code, output) = onrecord(&["keygen", "--out", &key(name), "--name", "onrecord/it"], &[]);
        assert_eq!(code, Some(0), "{output}");
        let (_, again) = onrecord(&["keygen", "--public", "--key", &key(name), "--name", "onrecord/it"], &[]);
        assert_eq!(again, output);
        let (code, _) = onrecord(&["keygen", "--out", &key(name)], &[]);
        assert_eq!(code, Some(1), "a key is never replaced");
        public.insert(name, output.trim().to_owned());
    }
    let mut gateway = Gateway::builder()
        .set("evidence", "key", &format!("{{ file = {:?} }}", key("one")))
        .source(Source::new("api", &origin.url()))
        .start();
    let config = std::fs::read_to_string(gateway.config_path()).unwrap();
    let with = |new: &str, old: &str| {
        let old = format!("key = {{ file = {:?} }}\nprevious_key = {{ file = {:?} }}", key(new), key(old));
        config.replace(&format!("key = {{ file = {:?} }}", key("one")), &old)
    };
    Load::calm(1, 50).run(gateway.address());
    gateway.stop();
    std::fs::write(gateway.config_path(), with("two", "one")).unwrap();
    gateway.restart();
    gateway.stop();
    let copy = Copy { path: gateway.destination("main"), key: public["one"].clone(), anchor: PathBuf::new() };
    for name in ["one", "two"] {
        copy.finds(&["--key", &public[name]], &[]);
    }
    let report = copy.finds(&[], &[]);
    assert!(report["notes"].as_array().unwrap().is_empty(), "{report:#}");
    assert!(gateway.log().contains("handed over"), "{}", gateway.log());

    // The key that signed last is not at hand.
    std::fs::write(gateway.config_path(), with("three", "one")).unwrap();
    gateway.restart();
    gateway.stop();
    assert!(gateway.log().contains("not proved by the key before"), "{}", gateway.log());
    copy.finds(&["--key", &public["one"]], &[("signer_changed", 1)]);
    copy.finds(&["--key", &public["three"]], &[("signer_changed", 1)]);
    copy.finds(&["--key", &public["two"], "--key", &public["three"]], &[]);
    assert_eq!(copy.finds(&[], &[])["notes"].as_array().unwrap().len(), 1);
}

#[test]
fn what_cannot_be_read_is_neither_whole_nor_broken() {
    let empty = tempfile::tempdir().unwrap();
    let path = empty.path().display().to_string();
    for arguments in [
        ["verify", &path, "--format", "json"],
        ["verify", "/nowhere/at/all", "--format", "json"],
        ["verify", &path, "--key", "no-key"],
        ["verify", "--proof", "/nowhere", "--format=json"],
    ] {
        let (code, output) = onrecord(&arguments, &[]);
        assert_eq!(code, Some(2), "{arguments:?}: {output}");
    }
}
