//! A NATS server with JetStream: installed, on a free port, its data in a temporary folder.
//!
//! Found by `ONRECORD_NATS`, or on the path. A test whose server is not there is skipped in one line.

use super::clouds::find;
use super::gateway::{free_port, read_lossy};
use super::until;
use async_nats::jetstream::stream::Config;
use async_nats::jetstream::{self, consumer};
use async_nats::{Client, ConnectOptions};
use futures_util::StreamExt as _;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What came out of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) subject: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) payload: Vec<u8>,
}

/// A server.
pub(crate) struct Nats {
    program: PathBuf,
    child: Child,
    folder: tempfile::TempDir,
    pub(crate) address: SocketAddr,
}

/// Users of every server: `admin` may all, `gw` what a gateway needs.
const USERS: &str = r#"authorization { users = [
  { user: gw, password: s3cret, permissions: { publish: ["onrecord.>", "big.>"], subscribe: ["_INBOX.>"] } }
  { user: admin, password: adm }
] }
"#;

impl Nats {
    /// Starts it; `more` is added to its configuration. `None`, after saying so, where it is not installed.
    pub(crate) fn start(test: &str, more: &str) -> Option<Self> {
        let Some(program) = find("ONRECORD_NATS", "nats-server") else {
            super::skip(test, "nats-server is not installed (.ci/run does)");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("onrecord-nats-").tempdir().unwrap();
        let address = free_port();
        let config = format!(
            "listen: {address}\njetstream {{ store_dir: {:?} }}\n{USERS}{more}",
            folder.path().join("data")
        );
        std::fs::write(folder.path().join("nats.conf"), config).unwrap();
        let child = spawn(&program, folder.path());
        let nats = Self { program, child, folder, address };
        nats.wait_for_port();
        Some(nats)
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, with the same data.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(&self.program, self.folder.path());
        self.wait_for_port();
    }

    fn wait_for_port(&self) {
        until("the broker's port", Duration::from_secs(20), || TcpStream::connect(self.address).ok());
    }

    /// The administrator's connection.
    pub(crate) async fn admin(&self, options: ConnectOptions) -> Client {
        options.user_and_password("admin".into(), "adm".into()).connect(self.url()).await.unwrap()
    }

    /// Makes a stream, as its operator does.
    pub(crate) async fn stream(&self, options: ConnectOptions, config: Config) {
        jetstream::new(self.admin(options).await).create_stream(config).await.unwrap();
    }

    /// Everything in a stream, in its order.
    pub(crate) async fn read(&self, options: ConnectOptions, name: &str) -> Vec<Message> {
        let stream = jetstream::new(self.admin(options).await).get_stream(name).await.unwrap();
        let count = stream.get_info().await.unwrap().state.messages;
        if count == 0 {
            return Vec::new();
        }
        let config = consumer::pull::OrderedConfig::default();
        let messages = stream.create_consumer(config).await.unwrap().messages().await.unwrap();
        let messages = messages.take(usize::try_from(count).unwrap());
        messages
            .map(|message| {
                let message = message.unwrap();
                let headers = message.headers.clone().unwrap_or_default();
                let headers = headers
                    .iter()
                    .map(|(name, values)| (name.to_string(), values[0].as_str().to_owned()))
                    .collect();
                Message { subject: message.subject.to_string(), headers, payload: message.payload.to_vec() }
            })
            .collect()
            .await
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the broker's log ---\n{}\n---", read_lossy(&self.folder.path().join("log")));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(program: &std::path::Path, folder: &std::path::Path) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    Command::new(program)
        .arg("-c")
        .arg(folder.join("nats.conf"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}
