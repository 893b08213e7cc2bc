//! The Autobahn cases for WebSocket, by `kosoku`: the verdicts through the gateway are those of
//! the server itself.
//!
//! `kosoku` is found by `ONRECORD_KOSOKU` or on the path; the `python3` beside it needs the
//! package `websockets`. Sections 9, 12 and 13 (large messages, compression) are left out.

use crate::harness::gateway::Gateway;
use crate::harness::records::assert_gapless;
use crate::harness::{PATIENCE, skip};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const ECHO: &str = r#"
import asyncio
from websockets.asyncio.server import serve
async def echo(connection):
    async for message in connection:
        await connection.send(message)
async def main():
    async with serve(echo, "127.0.0.1", 0, max_size=None, compression=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()
asyncio.run(main())
"#;

struct EchoServer {
    child: Child,
    port: u16,
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn kosoku() -> Option<PathBuf> {
    let named = std::env::var_os("ONRECORD_KOSOKU").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("kosoku"));
    named.into_iter().chain(on_path).find(|binary| binary.is_file())
}

fn echo_server(python: &Path) -> Option<EchoServer> {
    let mut child = Command::new(python)
        .args(["-c", ECHO])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take()?).read_line(&mut line).ok()?;
    match line.trim().parse() {
        Ok(port) => Some(EchoServer { child, port }),
        Err(_) => {
            let _ = child.wait();
            None
        }
    }
}

/// Case → verdict and verdict on the close. `NON-STRICT` counts as `OK`: whether a server that
/// fails a connection gets its last echo out before is a race in the server, which goes one
/// way or the other from one straight run to the next.
fn verdicts(kosoku: &Path, port: u16, reports: &Path) -> BTreeMap<String, (String, String)> {
    let mut command = Command::new(kosoku);
    command.arg(format!("ws://127.0.0.1:{port}"));
    for left_out in ["9.*", "12.*", "13.*"] {
        command.args(["-x", left_out]);
    }
    // Its exit code says that a case failed, which the comparison tells better.
    command.arg("-o").arg(reports).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    let index = std::fs::read(reports.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let cases = index.as_object().unwrap().values().next().unwrap().as_object().unwrap();
    let text = |value: &serde_json::Value| match value.as_str().unwrap_or_default() {
        "NON-STRICT" => "OK".to_owned(),
        verdict => verdict.to_owned(),
    };
    cases
        .iter()
        .map(|(case, result)| (case.clone(), (text(&result["behavior"]), text(&result["behaviorClose"]))))
        .collect()
}

#[test]
fn websocket_cases_have_the_same_verdicts_straight_and_through_the_gateway() {
    const NAME: &str = "websocket_cases_have_the_same_verdicts_straight_and_through_the_gateway";
    let Some(kosoku) = kosoku() else { return skip(NAME, "kosoku is not installed") };
    let python = kosoku.with_file_name("python3");
    let Some(server) = echo_server(&python) else {
        return skip(NAME, "the python3 beside kosoku has no package `websockets`");
    };
    let folder = tempfile::tempdir().unwrap();
    let straight = verdicts(&kosoku, server.port, &folder.path().join("straight"));
    let mut gateway = Gateway::before(&format!("http://127.0.0.1:{}", server.port));
    let through = verdicts(&kosoku, gateway.address().port(), &folder.path().join("through"));
    assert!(straight.len() >= 240, "{} cases", straight.len());
    let differ: Vec<_> = straight
        .iter()
        .map(|(case, verdict)| (case, verdict, through.get(case)))
        .filter(|(_, verdict, through)| *through != Some(*verdict))
        .collect();
    assert!(
        differ.is_empty() && straight.len() == through.len(),
        "{} of {} differ: {differ:?}",
        differ.len(),
        straight.len()
    );
    let records = gateway.wait_for_records(straight.len(), PATIENCE);
    let tunnels = records.iter().filter(|record| record.status() == 101).count();
    assert!(tunnels >= straight.len(), "{tunnels} tunnels on record");
    assert_gapless(&gateway.finish());
    eprintln!("{} cases, the same verdicts", straight.len());
}
