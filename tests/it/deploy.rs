//! What lies in `deploy` fits the gateway that it is for.

use crate::harness::client::get;
use crate::harness::gateway::{Gateway, Source};
use crate::harness::origin::Origin;
use crate::harness::{PATIENCE, skip, until};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const RULES: &str = include_str!("../../deploy/rules.yml");

/// Names of series that begin with `onrecord_`. Those that the rules record have a colon before.
fn metrics_of_rules() -> BTreeSet<&'static str> {
    let inside = |character: char| character.is_ascii_alphanumeric() || "_:".contains(character);
    RULES
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| line.split(|character| !inside(character)))
        .filter(|word| word.starts_with("onrecord_"))
        .collect()
}

fn onrecord(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_onrecord")).args(arguments).output().unwrap()
}

#[test]
fn every_metric_of_the_rules_is_told_by_a_running_gateway() {
    let origin = Origin::start();
    let gateway = Gateway::builder().source(Source::new("api", &origin.url())).start();
    get("/?size=10").send(gateway.address());
    gateway.wait_for_records(1, PATIENCE);
    let text = gateway.metrics();
    let told: BTreeSet<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let asked = metrics_of_rules();
    assert!(asked.len() >= 12, "{asked:?}");
    let missing: Vec<&&str> = asked.iter().filter(|name| !told.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?} are in deploy/rules.yml and not in\n{text}");
}

#[test]
fn promtool_passes_the_rules_and_their_tests() {
    let tool = ["promtool", concat!(env!("CARGO_MANIFEST_DIR"), "/target/prometheus/usr/bin/promtool")]
        .into_iter()
        .find(|tool| Command::new(tool).arg("--version").output().is_ok());
    let Some(tool) = tool else {
        return skip("deploy (promtool)", "promtool is not installed (apt-get install prometheus)");
    };
    for arguments in [
        ["check", "rules", "rules.yml"],
        ["test", "rules", "rules.test.yml"],
        ["check", "config", "prometheus.yml"],
    ] {
        let done = Command::new(tool).args(arguments).current_dir(Path::new(ROOT).join("deploy")).output();
        let done = done.unwrap();
        assert!(done.status.success(), "{arguments:?}: {done:?}");
    }
}

#[test]
fn health_says_how_a_gateway_is_while_it_is_there_and_when_it_is_gone() {
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    let url = gateway.admin_url();
    for live in [&[][..], &["--live"]] {
        let done = onrecord(&[&["health", "--url", &url], live].concat());
        assert_eq!(done.status.code(), Some(0), "{done:?}");
    }
    gateway.stop();
    let done = onrecord(&["health", "--url", &url, "--timeout", "1000"]);
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stderr).contains("no answer from"), "{done:?}");
}

#[test]
fn the_sample_stands_alone_and_ends_at_a_signal() {
    let mut sample = Command::new(env!("CARGO_BIN_EXE_onrecord"))
        .args(["sample", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(sample.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().rsplit(' ').next().unwrap().to_owned();
    let done = onrecord(&["health", "--url", &url]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let address = url.trim_start_matches("http://").parse().unwrap();
    let answer = get("/spaces/s").header("authorization", "Bearer t").send(address);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-sample"), Some("onrecord-demo"));
    let pid = rustix::process::Pid::from_raw(i32::try_from(sample.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = until("the sample's end", PATIENCE, || sample.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

/// A process that is killed when the test ends, however it ends.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_real_prometheus_scrapes_a_gateway_as_up_and_loads_the_rules() {
    let program =
        ["prometheus", concat!(env!("CARGO_MANIFEST_DIR"), "/target/prometheus/usr/bin/prometheus")]
            .into_iter()
            .find(|program| Command::new(program).arg("--version").output().is_ok());
    let Some(program) = program else {
        return skip("deploy (prometheus)", "prometheus is not installed (apt-get install prometheus)");
    };
    let origin = Origin::start();
    let gateway = Gateway::builder().source(Source::new("api", &origin.url())).start();
    let folder = tempfile::tempdir().unwrap();
    let admin = gateway.admin_url();
    let target = admin.trim_start_matches("http://").trim_end_matches('/');
    let config = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
         rule_files: [\"{ROOT}/deploy/rules.yml\"]\n\
         scrape_configs:\n  - job_name: onrecord\n    static_configs: [{{ targets: [\"{target}\"] }}]\n"
    );
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, config).unwrap();
    let listen = crate::harness::gateway::free_port();
    let child = Command::new(program)
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address={listen}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _killed = Killed(child);
    until("prometheus to listen", PATIENCE, || std::net::TcpStream::connect(listen).ok());
    // It answers 503 until it has started.
    let ask = |path: &str| -> serde_json::Value {
        let answer = get(path).send(listen);
        if answer.status == 200 { answer.json() } else { serde_json::Value::Null }
    };
    until("the gateway to be up", PATIENCE * 2, || {
        let answer = ask("/api/v1/query?query=up%7Bjob%3D%22onrecord%22%7D");
        (answer["data"]["result"][0]["value"][1] == "1").then_some(())
    });
    until("the rules to be evaluated without an error", PATIENCE * 2, || {
        let answer = ask("/api/v1/rules");
        let groups = answer["data"]["groups"].as_array()?;
        let rules: Vec<_> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
        let good = |rule: &&serde_json::Value| rule["health"] == "ok";
        (!rules.is_empty() && rules.iter().all(good)).then_some(())
    });
}
