//! What durable and strict routes promise, over a real disk that stands still.

use crate::harness::client::{H2, get, request};
use crate::harness::gateway::{Gateway, Source};
use crate::harness::origin::Origin;
use crate::harness::records::{Record, one};
use crate::harness::{PATIENCE, pattern, skip, until};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Reads are async, other methods durable, DELETE strict.
fn classes(origin: &Origin, wait: &str) -> Source {
    let classes = format!("{{ methods = {{ DELETE = \"strict\" }}, wait = \"{wait}\" }}");
    Source::new("api", &origin.url()).key("durability", &classes)
}

/// The process's death together with the loss of all memory, as far as records go.
fn lose_power(gateway: &mut Gateway) {
    gateway.sigkill();
    std::fs::remove_dir_all(gateway.ring()).unwrap();
}

fn with_path<'a>(records: &'a [Record], path: &str) -> Vec<&'a Record> {
    records.iter().filter(|record| record.text("url.path") == path).collect()
}

#[test]
fn a_durable_response_that_was_seen_whole_is_on_record_though_all_memory_is_lost() {
    let origin = Origin::start();
    let mut gateway = Gateway::builder().source(classes(&origin, "10s")).start();
    let to = gateway.address();
    let clients: Vec<_> = (0..8)
        .map(|client| {
            std::thread::spawn(move || {
                for number in 0..10 {
                    let path = format!("/durable/{client}/{number}");
                    let response = request("POST", format!("{path}?size=100")).body(pattern(10)).send(to);
                    assert!(response.complete && response.status == 200);
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    lose_power(&mut gateway);
    gateway.restart();
    let records = gateway.finish();
    for client in 0..8 {
        for number in 0..10 {
            let path = format!("/durable/{client}/{number}");
            assert_eq!(with_path(&records, &path).len(), 1, "{path}");
        }
    }
    gateway.account();
}

#[test]
fn a_strict_request_whose_gateway_dies_is_known_though_all_memory_is_lost() {
    let origin = Origin::start();
    let mut gateway = Gateway::builder().source(classes(&origin, "10s")).start();
    let to = gateway.address();
    let client = std::thread::spawn(move || {
        let mut connection = crate::harness::client::Connection::open(to);
        connection.send(&request("DELETE", "/spaces/7?hold=answer").head_bytes());
        connection.response(false).is_err()
    });
    origin.wait_for("answer");
    lose_power(&mut gateway);
    assert!(client.join().unwrap());
    origin.release("answer");
    gateway.restart();
    let records = gateway.finish();
    let record = one(&records, "/spaces/7");
    assert_eq!((record.outcome(), record.text("http.request.method")), ("unknown", "DELETE"));
    assert_eq!(record.text("client.address"), "127.0.0.1", "the whole request is in the intent");
    assert_eq!(origin.count("/spaces/7"), 1);
    gateway.account();
}

#[test]
fn every_kind_of_response_arrives_whole_on_a_durable_route_and_waiting_is_no_part_of_its_duration() {
    let origin = Origin::start();
    let source = Source::new("api", &origin.url()).key("durability", "{ reads = \"durable\" }");
    let mut gateway = Gateway::builder().source(source).start();
    let to = gateway.address();
    let targets = [
        "/plain?size=1000",
        "/large?size=300000",
        "/chunked?size=70000&framing=chunked",
        "/trailers?size=10&framing=chunked&trailers=1",
        "/close?size=500&framing=close",
        "/empty",
        "/none?status=204",
        "/same?status=304",
        "/error?status=500&size=20",
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let h2 = runtime.block_on(H2::open(to));
    for target in targets {
        let one = get(target).send(to);
        assert!(one.complete, "{target}");
        let two = runtime.block_on(h2.send("GET", target, Vec::new()));
        assert_eq!((two.status, two.body.len()), (one.status, one.body.len()), "{target} by HTTP/2");
        let head = request("HEAD", target).send(to);
        assert!(head.complete && head.body.is_empty(), "{target}");
    }
    let count = targets.len() as f64 * 3.0;
    assert_eq!(gateway.metric("onrecord_commit_waits_total", "on_disk"), count);
    assert_eq!(gateway.metric("onrecord_commit_waiters", ""), 0.0);
    let records = gateway.finish();
    assert_eq!(records.len(), targets.len() * 3);
    assert!(records.iter().all(|record| record.outcome() != "aborted"));
    gateway.account();
}

#[test]
fn a_refusal_that_the_upstream_never_saw_waits_for_nothing_and_is_on_record() {
    let mut gateway = {
        let mut origin = Origin::start();
        let gateway = Gateway::builder().source(classes(&origin, "10s")).start();
        origin.stop();
        gateway
    };
    assert_eq!(request("POST", "/gone").send(gateway.address()).status, 502);
    assert_eq!(gateway.metric("onrecord_commit_waits_total", "on_disk"), 0.0);
    // A strict one had to leave its intent before it was known that nobody is there.
    assert_eq!(request("DELETE", "/gone/too").send(gateway.address()).status, 502);
    assert_eq!(gateway.metric("onrecord_commit_waits_total", "on_disk"), 1.0);
    assert_eq!(gateway.finish().len(), 2);
    gateway.account();
}

/// An ext4 of its own on a loop device, which can be frozen.
struct Disk {
    path: PathBuf,
    _parent: tempfile::TempDir,
}

impl Disk {
    fn mount() -> Option<Self> {
        let parent = tempfile::tempdir().unwrap();
        let (image, path) = (parent.path().join("image"), parent.path().join("disk"));
        std::fs::create_dir(&path).unwrap();
        std::fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        let run = |command: &mut Command| {
            command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        let made = run(Command::new("mkfs.ext4").arg("-q").arg(&image))
            && run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&path));
        made.then_some(Self { path, _parent: parent })
    }

    fn freeze(&self) -> Frozen<'_> {
        let status = Command::new("fsfreeze").arg("-f").arg(&self.path).status().unwrap();
        assert!(status.success());
        Frozen(&self.path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

/// Until this is dropped every write to the disk hangs.
struct Frozen<'a>(&'a Path);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("-u").arg(self.0).status();
    }
}

/// While nothing reaches the disk: async goes on as ever, durable goes on after its wait,
/// strict is refused before the upstream sees it.
fn assert_classes_hold(gateway: &Gateway, origin: &Origin, to: SocketAddr) {
    until("a strict request to be refused", PATIENCE, || {
        let refused = request("DELETE", "/strict").send(to);
        if refused.status == 200 {
            return None;
        }
        assert_eq!((refused.status, refused.header("Retry-After")), (503, Some("1")));
        assert_eq!(refused.json()["error"], "not_recordable");
        Some(())
    });
    let before = origin.count("/strict");
    for _ in 0..20 {
        assert_eq!(request("DELETE", "/strict").send(to).status, 503);
        let begun = Instant::now();
        assert_eq!(get("/async?size=100").send(to).status, 200);
        assert!(begun.elapsed() < Duration::from_millis(400), "{:?}", begun.elapsed());
    }
    assert_eq!(origin.count("/strict"), before, "the upstream saw a request that was refused");
    let begun = Instant::now();
    let durable = request("POST", "/durable?size=10").body(pattern(10)).send(to);
    assert!(durable.complete && durable.status == 200);
    assert!(begun.elapsed() >= Duration::from_millis(500), "{:?}", begun.elapsed());
    assert!(gateway.metric("onrecord_commit_waits_total", "timeout") >= 2.0);
    assert!(gateway.metric("onrecord_commit_waits_total", "refused") >= 21.0);
    let status = gateway.status();
    assert!(status["sources"][0]["durability"]["timeout"].as_u64() >= Some(2), "{status}");
}

fn assert_strict_again(to: SocketAddr) {
    until("strict requests to be taken again", PATIENCE, || {
        (request("DELETE", "/strict").send(to).status == 200).then_some(())
    });
}

#[test]
fn a_frozen_disk_touches_no_async_route_and_strict_ones_are_refused_until_it_thaws() {
    let Some(disk) = Disk::mount() else {
        return skip("durability (frozen)", "mounting a loop device needs root and mkfs.ext4");
    };
    let origin = Origin::start();
    let spool = format!("{:?}", disk.path.join("spool").display().to_string());
    let mut gateway =
        Gateway::builder().set("spool", "dir", &spool).source(classes(&origin, "500ms")).start();
    let to = gateway.address();
    assert_eq!(request("DELETE", "/before").send(to).status, 200);
    let frozen = disk.freeze();
    assert_classes_hold(&gateway, &origin, to);
    until("the trouble in the status", PATIENCE, || gateway.status()["spool"]["trouble"].as_str().map(drop));
    drop(frozen);
    assert_strict_again(to);
    let records = gateway.finish();
    assert!(with_path(&records, "/strict").iter().any(|record| record.error() == "not_recordable"));
    let durable = one(&records, "/durable");
    assert!(durable.int("duration.microseconds").unwrap() < 400_000, "no commit wait in the duration");
    gateway.account();
}

/// Makes every fsync of a process hang while it lives.
struct HungSyncs(Child);

impl HungSyncs {
    fn of(gateway: &Gateway) -> Option<Self> {
        let child = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"])
            .args(["-e", "inject=fsync,fdatasync:delay_enter=30s", "-p", &gateway.pid().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut hung = Self(child);
        let status = format!("/proc/{}/status", gateway.pid());
        until("the tracer", PATIENCE, || {
            let traced = std::fs::read_to_string(&status)
                .unwrap()
                .lines()
                .any(|line| line.strip_prefix("TracerPid:").is_some_and(|pid| pid.trim() != "0"));
            let ended = hung.0.try_wait().unwrap().is_some();
            (traced || ended).then_some(())
        });
        hung.0.try_wait().unwrap().is_none().then_some(hung)
    }
}

impl Drop for HungSyncs {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.0.id() as i32) {
            // It lets go of the process when it is asked to end, not when it is killed.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

#[test]
fn a_hung_fsync_touches_no_async_route_and_strict_ones_are_refused_until_it_ends() {
    let origin = Origin::start();
    let mut gateway = Gateway::builder().source(classes(&origin, "500ms")).start();
    let to = gateway.address();
    assert_eq!(request("DELETE", "/before").send(to).status, 200);
    let Some(hung) = HungSyncs::of(&gateway) else {
        return skip("durability (hung fsync)", "strace may not trace the gateway here, or is not installed");
    };
    assert_classes_hold(&gateway, &origin, to);
    drop(hung);
    assert_strict_again(to);
    let records = gateway.finish();
    assert!(with_path(&records, "/strict").iter().any(|record| record.error() == "not_recordable"));
    gateway.account();
}

#[test]
fn a_class_for_a_route_that_no_catalogue_has_is_told_by_check_and_at_the_start() {
    let source = Source::new("api", "http://127.0.0.1:9").key(
        "durability",
        "{ routes = [{ method = \"PUT\", template = \"/nothing\", class = \"strict\" }] }",
    );
    let Err((gateway, log)) = Gateway::builder().source(source).try_start() else {
        panic!("it started with a rule for a route that is not there");
    };
    assert!(log.contains("no catalogue of the source has the route PUT /nothing"), "{log}");
    let (code, told) = gateway.command(&["check", "--config", &gateway.config_path().display().to_string()]);
    assert_eq!(code, Some(78), "{told}");
    assert!(told.contains("PUT /nothing"), "{told}");
}

#[test]
fn odd_paths_are_refused_unless_said_otherwise_where_a_class_is_strict_or_a_route_sensitive() {
    let origin = Origin::start();
    let cma = |name| Source::new(name, &origin.url()).catalogues(&["contentful-management"]);
    let gateway = Gateway::builder()
        .source(Source::new("plain", &origin.url()))
        .source(Source::new("strict", &origin.url()).listener(1).key("durability", "{ writes = \"strict\" }"))
        .source(cma("cma").listener(2))
        .source(cma("said").listener(3).key("odd_paths", "\"pass\""))
        .start();
    let statuses: Vec<u16> =
        (0..4).map(|listener| get("/a/%2e%2e/b").send(gateway.listener(listener)).status).collect();
    assert_eq!(statuses, [200, 400, 400, 200]);
}
