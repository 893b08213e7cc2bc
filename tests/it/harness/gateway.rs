//! The real process, started from a configuration that the test composes.
//!
//! On a failed test its log is printed and its folder is kept. With
//! `ONRECORD_KEEP=1` folders are always kept.

use super::client::{self, Response};
use super::records::{Objects, Record};
use super::{PATIENCE, until};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

/// One `[[source]]`.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    name: String,
    listener: usize,
    /// Further addresses; `{port}` is the listener's.
    also: Vec<String>,
    keys: Vec<(String, String)>,
    limits: Vec<(String, String)>,
    actor: Vec<(String, String)>,
    jwt: Vec<(String, String)>,
    forward: Vec<(String, String)>,
    health: Vec<(String, String)>,
}

impl Source {
    /// A source on the first listener. `upstream` is a URL.
    pub(crate) fn new(name: &str, upstream: &str) -> Self {
        Self::of(name, &[upstream])
    }

    /// The same with several addresses.
    pub(crate) fn of(name: &str, upstreams: &[&str]) -> Self {
        let source = Self {
            name: name.to_owned(),
            listener: 0,
            also: Vec::new(),
            keys: Vec::new(),
            limits: Vec::new(),
            actor: Vec::new(),
            jwt: Vec::new(),
            forward: Vec::new(),
            health: Vec::new(),
        };
        match upstreams {
            [one] => source.key("upstream", &format!("{one:?}")),
            several => source.key("upstream", &format!("{several:?}")),
        }
    }

    /// Which of the gateway's listeners it takes, counted from 0.
    pub(crate) fn listener(mut self, number: usize) -> Self {
        self.listener = number;
        self
    }

    /// A key and its value as TOML.
    pub(crate) fn key(mut self, key: &str, toml: &str) -> Self {
        self.keys.push((key.to_owned(), toml.to_owned()));
        self
    }

    /// One more address to listen on.
    pub(crate) fn also_listen(mut self, address: &str) -> Self {
        self.also.push(address.to_owned());
        self
    }

    /// The listener's port on every address of both families, and not on one alone.
    pub(crate) fn both_families(mut self) -> Self {
        self.also = vec!["0.0.0.0:{port}".to_owned(), "[::]:{port}".to_owned()];
        self
    }

    pub(crate) fn hosts(self, hosts: &[&str]) -> Self {
        self.key("hosts", &format!("{hosts:?}"))
    }

    pub(crate) fn catalogues(self, names: &[&str]) -> Self {
        self.key("catalogues", &format!("{names:?}"))
    }

    /// A key of `[source.limits]`.
    pub(crate) fn limit(mut self, key: &str, toml: &str) -> Self {
        self.limits.push((key.to_owned(), toml.to_owned()));
        self
    }

    /// A key of `[source.forward]`.
    pub(crate) fn forward(mut self, key: &str, toml: &str) -> Self {
        self.forward.retain(|(have, _)| have != key);
        self.forward.push((key.to_owned(), toml.to_owned()));
        self
    }

    /// A key of `[source.health]`.
    pub(crate) fn health(mut self, key: &str, toml: &str) -> Self {
        self.health.push((key.to_owned(), toml.to_owned()));
        self
    }

    /// A key of `[source.actor.jwt]`.
    pub(crate) fn jwt(mut self, key: &str, toml: &str) -> Self {
        self.jwt.push((key.to_owned(), toml.to_owned()));
        self
    }

    /// A table in `[source.actor]`, its keys and values as TOML.
    pub(crate) fn actor_table(self, name: &str, toml: &str) -> Self {
        self.actor_list(name, &format!("{{ {toml} }}"))
    }

    /// A key of `[source.actor]` and its value as TOML.
    pub(crate) fn actor_list(mut self, key: &str, toml: &str) -> Self {
        self.actor.push((key.to_owned(), toml.to_owned()));
        self
    }

    /// A key of `[source.actor]`.
    pub(crate) fn actor(mut self, key: &str, header: &str) -> Self {
        self.actor.push((key.to_owned(), format!("{header:?}")));
        self
    }
}

/// Composes a gateway.
#[derive(Clone, Debug)]
pub(crate) struct Builder {
    sources: Vec<Source>,
    listeners: Vec<(usize, String)>,
    raw: Vec<String>,
    sections: Vec<(String, String, String)>,
    destinations: Vec<(String, Vec<(String, String)>)>,
    files: Vec<(String, String)>,
    environment: Vec<(String, String)>,
    prepare: Vec<PathBuf>,
}

/// The parts of a running gateway.
pub(crate) struct Gateway {
    root: Option<tempfile::TempDir>,
    ring: PathBuf,
    listeners: Vec<SocketAddr>,
    admin: SocketAddr,
    environment: Vec<(String, String)>,
    child: Option<Child>,
    objects: Mutex<Objects>,
}

impl Gateway {
    /// Two workers, objects each second, small segments: what a test wants unless it says otherwise.
    pub(crate) fn builder() -> Builder {
        let section =
            |section: &str, key: &str, value: &str| (section.to_owned(), key.to_owned(), value.to_owned());
        Builder {
            sources: Vec::new(),
            listeners: Vec::new(),
            raw: Vec::new(),
            sections: vec![
                section("server", "workers", "2"),
                section("server", "grace", "\"20s\""),
                section("server", "flush", "\"20s\""),
                section("ring", "bytes", "\"4MiB\""),
                section("spool", "bytes", "\"1GiB\""),
                section("spool", "segment_bytes", "\"1MiB\""),
                section("log", "format", "\"text\""),
            ],
            destinations: Vec::new(),
            files: Vec::new(),
            environment: Vec::new(),
            prepare: Vec::new(),
        }
    }

    /// A gateway with one source `api` in front of this upstream.
    pub(crate) fn before(upstream: &str) -> Self {
        Self::builder().source(Source::new("api", upstream)).start()
    }

    /// The first listener.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listeners[0]
    }

    pub(crate) fn listener(&self, number: usize) -> SocketAddr {
        self.listeners[number]
    }

    /// The folder with everything but the rings.
    pub(crate) fn root(&self) -> &Path {
        self.root.as_ref().unwrap().path()
    }

    pub(crate) fn spool(&self) -> PathBuf {
        self.root().join("spool")
    }

    pub(crate) fn ring(&self) -> &Path {
        &self.ring
    }

    /// The folder of the destination `main`, or of another by its name.
    pub(crate) fn destination(&self, name: &str) -> PathBuf {
        self.root().join("objects").join(name)
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.root().join("proxy.toml")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("the gateway runs").id()
    }

    /// What the process wrote to stdout and stderr since the first start.
    pub(crate) fn log(&self) -> String {
        read_lossy(&self.root().join("gateway.log"))
    }

    /// Resident memory of the process, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// The admin listener's address as a URL.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    pub(crate) fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// A request to the admin listener.
    pub(crate) fn admin(&self, path: &str) -> Response {
        client::get(path).host("localhost").send(self.admin)
    }

    pub(crate) fn status(&self) -> serde_json::Value {
        self.admin("/api/v1/status").json()
    }

    pub(crate) fn metrics(&self) -> String {
        String::from_utf8(self.admin("/metrics").body).unwrap()
    }

    /// The sum of all samples of a metric whose labels contain this text.
    pub(crate) fn metric(&self, name: &str, labels: &str) -> f64 {
        self.metrics()
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter(|line| {
                line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '))
            })
            .filter(|line| line.contains(labels))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// All records of exchanges that the destination `main` holds now.
    pub(crate) fn records(&self) -> Vec<Record> {
        self.objects.lock().unwrap().records(&self.destination("main"))
    }

    /// Waits for the first manifest, with which a destination packs at once what is there. What
    /// comes behind it waits for its interval, or for the next manifest in a minute.
    pub(crate) fn wait_for_first_manifest(&self) {
        super::until("the first manifest", super::PATIENCE, || {
            let mut files = Vec::new();
            let folder = self.destination("main").join("_manifests");
            if folder.is_dir() {
                all_files(&folder, &mut files);
            }
            (!files.is_empty()).then_some(())
        });
    }

    /// Waits until the destination holds at least so many records.
    pub(crate) fn wait_for_records(&self, count: usize, limit: Duration) -> Vec<Record> {
        let mut last = 0;
        let start = std::time::Instant::now();
        loop {
            let records = self.records();
            if records.len() >= count {
                return records;
            }
            last = last.max(records.len());
            assert!(
                start.elapsed() < limit,
                "waited {limit:?} for {count} records, {last} came: {}",
                super::records::list(&records)
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the gateway in peace and reads everything that it delivered.
    pub(crate) fn finish(&mut self) -> Vec<Record> {
        let status = self.stop();
        assert_eq!(status.code(), Some(0), "exit after SIGTERM: {status}");
        self.records()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid() as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// SIGTERM, without waiting.
    pub(crate) fn sigterm(&self) {
        self.signal(Signal::TERM);
    }

    pub(crate) fn sighup(&self) {
        self.signal(Signal::HUP);
    }

    /// SIGTERM, and the exit status.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.sigterm();
        self.wait_for_exit()
    }

    /// SIGKILL; the process is gone when this returns.
    pub(crate) fn sigkill(&mut self) {
        self.signal(Signal::KILL);
        self.wait_for_exit();
    }

    pub(crate) fn wait_for_exit(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the gateway runs");
        until("the gateway's exit", Duration::from_secs(60), || child.try_wait().unwrap())
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Starts it again, on the same folders and ports.
    pub(crate) fn restart(&mut self) {
        assert!(self.child.is_none(), "end the gateway before it is started again");
        self.spawn();
        if let Err(log) = self.wait_until_ready() {
            panic!("the gateway did not become ready again:\n{log}");
        }
    }

    /// Runs a command of the same binary in this gateway's folder: its output and exit code.
    pub(crate) fn command(&self, arguments: &[&str]) -> (Option<i32>, String) {
        run(Command::new(BINARY).args(arguments).current_dir(self.root()), &self.environment)
    }

    /// Holds the law to manifests and, while it runs, the status.
    pub(crate) fn account(&self) -> String {
        let path = self.destination("main").display().to_string();
        let url = format!("http://{}/api/v1/status", self.admin);
        let mut arguments = vec!["account", path.as_str()];
        if self.child.is_some() {
            arguments.extend(["--status", url.as_str()]);
        }
        let (code, output) = self.command(&arguments);
        assert_eq!(code, Some(0), "`onrecord {}` says:\n{output}", arguments.join(" "));
        output
    }

    /// Starts the process without waiting for it.
    pub(crate) fn spawn(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.root().join("gateway.log"))
            .unwrap();
        let child = Command::new(BINARY)
            .arg("run")
            .arg("--config")
            .arg(self.config_path())
            .current_dir(self.root())
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// Starts another process with the same file beside the running one, which it hands over.
    pub(crate) fn start_successor(&mut self) -> Child {
        let predecessor = self.child.take().expect("a running gateway");
        self.spawn();
        predecessor
    }

    /// Waits until it is ready.
    pub(crate) fn wait(&mut self) {
        if let Err(log) = self.wait_until_ready() {
            panic!("the gateway did not become ready:\n{log}");
        }
    }

    /// Ready, or the log of a process that ended before.
    fn wait_until_ready(&mut self) -> Result<(), String> {
        let start = std::time::Instant::now();
        loop {
            if !self.is_running() {
                self.child = None;
                return Err(self.log());
            }
            if let Ok(mut connection) = client::Connection::try_open(self.admin)
                && connection.try_send(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").is_ok()
                && connection.response(false).is_ok_and(|response| response.status == 200)
            {
                return Ok(());
            }
            assert!(start.elapsed() < PATIENCE, "not ready after {PATIENCE:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let keep = std::env::var_os("ONRECORD_KEEP").is_some_and(|value| value == "1");
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(60)..].join("\n");
            eprintln!("--- the gateway's log (last 60 lines) ---\n{tail}\n---");
        }
        if keep || std::thread::panicking() {
            if let Some(root) = self.root.take() {
                eprintln!("kept: {} and {}", root.keep().display(), self.ring.display());
            }
            if keep {
                return;
            }
        }
        let _ = std::fs::remove_dir_all(&self.ring);
    }
}

impl Builder {
    pub(crate) fn source(mut self, source: Source) -> Self {
        self.sources.push(source);
        self
    }

    /// A `[[listener]]` for one of the gateway's listeners, with this TOML in it.
    pub(crate) fn at_listener(mut self, number: usize, toml: &str) -> Self {
        self.listeners.push((number, toml.to_owned()));
        self
    }

    /// The same, before what is there already.
    pub(crate) fn before_listener(mut self, number: usize, toml: &str) -> Self {
        for (have, text) in &mut self.listeners {
            if *have == number {
                text.insert_str(0, toml);
            }
        }
        self
    }

    /// Any TOML, as it is.
    pub(crate) fn raw(mut self, toml: &str) -> Self {
        self.raw.push(toml.to_owned());
        self
    }

    /// A key of a section, as TOML; the last one given counts.
    pub(crate) fn set(mut self, section: &str, key: &str, toml: &str) -> Self {
        self.sections.retain(|(have, name, _)| (have.as_str(), name.as_str()) != (section, key));
        self.sections.push((section.to_owned(), key.to_owned(), toml.to_owned()));
        self
    }

    /// One more destination beside `main`.
    pub(crate) fn destination(mut self, name: &str, keys: &[(&str, &str)]) -> Self {
        let keys = keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.destinations.push((name.to_owned(), keys));
        self
    }

    /// A key of the destination `main`.
    pub(crate) fn main_destination(self, keys: &[(&str, &str)]) -> Self {
        self.destination("main", keys)
    }

    /// A file beside the configuration.
    pub(crate) fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    pub(crate) fn environment(mut self, key: &str, value: &str) -> Self {
        self.environment.push((key.to_owned(), value.to_owned()));
        self
    }

    /// A copy of what lies in this folder is the spool that the gateway finds.
    pub(crate) fn spool_from(mut self, folder: &Path) -> Self {
        self.prepare.push(folder.to_owned());
        self
    }

    /// Starts it, and waits until it is ready.
    pub(crate) fn start(&self) -> Gateway {
        match self.try_start() {
            Ok(gateway) => gateway,
            Err((gateway, log)) => {
                let config = read_lossy(&gateway.config_path());
                panic!("the gateway ended at its start:\n{log}\n--- with ---\n{config}");
            }
        }
    }

    /// Starts it; an error holds the folder and the log of a process that ended at once.
    pub(crate) fn try_start(&self) -> Result<Gateway, (Box<Gateway>, String)> {
        let mut attempts = 0;
        loop {
            let mut gateway = self.prepare();
            gateway.spawn();
            match gateway.wait_until_ready() {
                Ok(()) => return Ok(gateway),
                // Somebody else was quicker with a port.
                Err(log) if log.to_lowercase().contains("in use") && attempts < 5 => attempts += 1,
                Err(log) => return Err((Box::new(gateway), log)),
            }
        }
    }

    /// Writes the configuration and starts nothing.
    pub(crate) fn prepare(&self) -> Gateway {
        let root = tempfile::Builder::new().prefix("onrecord-it-").tempdir().unwrap();
        let shm = Path::new("/dev/shm");
        let rings = if shm.is_dir() { shm.to_owned() } else { root.path().to_owned() };
        let name = root.path().file_name().unwrap().to_string_lossy().into_owned();
        let ring = rings.join(format!("{name}-ring"));
        let count = self.sources.iter().map(|source| source.listener + 1).max().unwrap_or(1);
        let listeners: Vec<SocketAddr> = (0..count).map(|_| free_port()).collect();
        let admin = free_port();
        for (name, text) in &self.files {
            std::fs::write(root.path().join(name), text).unwrap();
        }
        for folder in &self.prepare {
            copy_folder(folder, &root.path().join("spool"));
        }
        let config = self.toml(root.path(), &ring, &listeners, admin);
        std::fs::write(root.path().join("proxy.toml"), config).unwrap();
        Gateway {
            root: Some(root),
            ring,
            listeners,
            admin,
            environment: self.environment.clone(),
            child: None,
            objects: Mutex::default(),
        }
    }

    fn toml(&self, root: &Path, ring: &Path, listeners: &[SocketAddr], admin: SocketAddr) -> String {
        use std::fmt::Write;
        let mut out = String::from("instance = \"it\"\n");
        let mut sections = self.sections.clone();
        let mut default = |section: &str, key: &str, value: String| {
            if !sections.iter().any(|(have, name, _)| have == section && name == key) {
                sections.push((section.to_owned(), key.to_owned(), value));
            }
        };
        default("ring", "dir", format!("{:?}", ring.display().to_string()));
        default("spool", "dir", format!("{:?}", root.join("spool").display().to_string()));
        default("admin", "listen", format!("\"{admin}\""));
        let mut names: Vec<&str> = sections.iter().map(|(section, _, _)| section.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let _ = writeln!(out, "\n[{name}]");
            for (_, key, value) in sections.iter().filter(|(section, _, _)| section == name) {
                let _ = writeln!(out, "{key} = {value}");
            }
        }
        for source in &self.sources {
            let _ = writeln!(out, "\n[[source]]\nname = {:?}", source.name);
            let own = listeners[source.listener];
            let mut listen: Vec<String> =
                source.also.iter().map(|also| also.replace("{port}", &own.port().to_string())).collect();
            if !source.also.iter().any(|also| also.contains("{port}")) {
                listen.insert(0, own.to_string());
            }
            let _ = writeln!(out, "listen = {listen:?}");
            for (key, value) in &source.keys {
                let _ = writeln!(out, "{key} = {value}");
            }
            for (part, keys) in [
                ("limits", &source.limits),
                ("actor", &source.actor),
                ("actor.jwt", &source.jwt),
                ("forward", &source.forward),
                ("health", &source.health),
            ] {
                if !keys.is_empty() {
                    let _ = writeln!(out, "[source.{part}]");
                }
                for (key, value) in keys {
                    let _ = writeln!(out, "{key} = {value}");
                }
            }
        }
        for (number, keys) in &self.listeners {
            let _ = writeln!(out, "\n[[listener]]\naddress = \"{}\"\n{keys}", listeners[*number]);
        }
        for toml in &self.raw {
            let _ = writeln!(out, "\n{toml}");
        }
        let mut destinations = self.destinations.clone();
        if !destinations.iter().any(|(name, _)| name == "main") {
            destinations.insert(0, ("main".to_owned(), Vec::new()));
        }
        for (name, keys) in &destinations {
            let path = root.join("objects").join(name);
            let _ = writeln!(out, "\n[[destination]]\nname = {name:?}");
            let folder = !keys.iter().any(|(have, _)| have == "type");
            for (key, value) in [
                ("type", "\"dir\"".to_owned()),
                ("path", format!("{:?}", path.display().to_string())),
                ("interval", "\"1s\"".to_owned()),
                ("heartbeat", "\"5s\"".to_owned()),
            ] {
                if !keys.iter().any(|(have, _)| have == key) && (folder || key != "path") {
                    let _ = writeln!(out, "{key} = {value}");
                }
            }
            for (key, value) in keys {
                let _ = writeln!(out, "{key} = {value}");
            }
        }
        out
    }
}

/// The command under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_onrecord");

/// Runs a command that ends by itself: exit code and everything that it printed.
pub(crate) fn onrecord(arguments: &[&str], environment: &[(String, String)]) -> (Option<i32>, String) {
    run(Command::new(BINARY).args(arguments), environment)
}

fn run(command: &mut Command, environment: &[(String, String)]) -> (Option<i32>, String) {
    let variables = environment.iter().map(|(key, value)| (key, value));
    let output = command.envs(variables).stdin(Stdio::null()).output().unwrap();
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.code(), text)
}

/// A loopback address that nobody listens on. Ports are taken from below the
/// range that the kernel gives to outgoing connections, each once a process.
pub(crate) fn free_port() -> SocketAddr {
    static TAKEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut taken = TAKEN.lock().unwrap();
    let taken = taken.get_or_insert_with(HashSet::new);
    let mut random = fastrand::Rng::new();
    loop {
        let port = random.u16(12_000..32_000);
        if taken.contains(&port) {
            continue;
        }
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            taken.insert(port);
            return listener.local_addr().unwrap();
        }
    }
}

/// A file as text, whatever is in it; empty where there is none.
pub(crate) fn read_lossy(path: &Path) -> String {
    std::fs::read(path).map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Copies a folder and what is below it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file below a folder.
pub(crate) fn all_files(folder: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.path().is_dir() {
            all_files(&entry.path(), into);
        } else {
            into.push(entry.path());
        }
    }
}
