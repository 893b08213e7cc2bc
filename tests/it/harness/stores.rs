//! Real stores: installed servers on free ports, with their data below a
//! temporary folder, and a client that may see everything.
//!
//! Binaries are found by `ONRECORD_WEED`, `ONRECORD_RCLONE` and `ONRECORD_S3RVER`,
//! or on the path. A test whose server is not there is skipped in one line.

use super::gateway::{free_port, read_lossy};
use super::until;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use onrecord::bucket::{AccessKey, KeyId};
use onrecord::clock::Clock;
use onrecord::deliver::{S3Options, S3Store};
use onrecord::secret::SecretRef;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The bucket that every store has.
pub(crate) const BUCKET: &str = "audit";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// SeaweedFS: strict, with conditions and checksums.
    Weed,
    /// rclone: ignores conditions.
    Rclone,
    /// s3rver: ignores conditions, and much else.
    S3rver,
}

/// A running server.
pub(crate) struct Server {
    kind: Kind,
    binary: PathBuf,
    pub(crate) address: SocketAddr,
    ports: Vec<u16>,
    folder: tempfile::TempDir,
    child: Option<Child>,
    runtime: tokio::runtime::Runtime,
    /// One of the large servers at a time.
    _turn: MutexGuard<'static, ()>,
}

/// An identity of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys(pub(crate) &'static str, pub(crate) &'static str);

impl Kind {
    fn find(self) -> Option<PathBuf> {
        let (variable, name) = match self {
            Self::Weed => ("ONRECORD_WEED", "weed"),
            Self::Rclone => ("ONRECORD_RCLONE", "rclone"),
            Self::S3rver => ("ONRECORD_S3RVER", "s3rver"),
        };
        let named = std::env::var_os(variable).map(PathBuf::from);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = std::env::split_paths(&path).map(|folder| folder.join(name));
        named.into_iter().chain(on_path).find(|path| path.is_file())
    }

    /// Starts the server; `None`, after saying so, where it is not installed.
    pub(crate) fn start(self, test: &str) -> Option<Server> {
        let Some(binary) = self.find() else {
            super::skip(test, &format!("{self:?} is not installed (.ci/run does)"));
            return None;
        };
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::Builder::new().prefix("onrecord-store-").tempdir().unwrap();
        std::fs::write(folder.path().join("s3.json"), IDENTITIES).unwrap();
        std::fs::create_dir_all(folder.path().join("data")).unwrap();
        let address = free_port();
        let ports = (0..7).map(|_| free_port().port()).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let mut server = Server {
            kind: self,
            binary,
            address,
            ports,
            folder,
            child: None,
            runtime: runtime.unwrap(),
            _turn: turn,
        };
        server.spawn();
        server.make_bucket(BUCKET);
        Some(server)
    }
}

/// All may; all may in one bucket; may read and list; may only read.
const IDENTITIES: &str = r#"{"identities":[
{"name":"admin","credentials":[{"accessKey":"adminkey","secretKey":"adminsecret"}],"actions":["Admin","Read","Write","List","Tagging"]},
{"name":"writer","credentials":[{"accessKey":"writerkey","secretKey":"writersecret"}],"actions":["Write:audit"]},
{"name":"verifier","credentials":[{"accessKey":"verifierkey","secretKey":"verifiersecret"}],"actions":["Read:audit","List:audit"]},
{"name":"reader","credentials":[{"accessKey":"readerkey","secretKey":"readersecret"}],"actions":["Read:audit"]}]}"#;

impl Server {
    pub(crate) fn admin(&self) -> Keys {
        match self.kind {
            Kind::S3rver => Keys("S3RVER", "S3RVER"),
            _ => Keys("adminkey", "adminsecret"),
        }
    }

    /// An identity that may do no more than write, where the server knows such.
    pub(crate) fn writer(&self) -> Keys {
        match self.kind {
            Kind::Weed => Keys("writerkey", "writersecret"),
            _ => self.admin(),
        }
    }

    /// An identity that may read and list, and nothing else.
    pub(crate) fn verifier(&self) -> Keys {
        Keys("verifierkey", "verifiersecret")
    }

    fn spawn(&mut self) {
        let log = self.folder.path().join("server.log");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let data = self.folder.path().join("data");
        let mut command = Command::new(&self.binary);
        match self.kind {
            Kind::Weed => {
                let ports = ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc"];
                let more = ["filer.port", "filer.port.grpc", "s3.port.grpc"];
                command.args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"]);
                command.args(["-master.volumeSizeLimitMB=64", "-volume.max=50", "-dir=.", "-s3"]);
                command.args(["-s3.config=../s3.json", "-s3.autoCreateBucket=false", "-s3.iam=false"]);
                command.args(["-s3.port.iceberg=0", "-s3.port.lance=0"]);
                // By default it takes no object while less than a hundredth of the disk is free.
                command.arg("-volume.minFreeSpace=16MiB");
                command.arg(format!("-s3.port={}", self.address.port()));
                for (name, port) in ports.iter().chain(&more).zip(&self.ports) {
                    command.arg(format!("-{name}={port}"));
                }
            }
            Kind::Rclone => {
                command.args(["serve", "s3", "--auth-key", "adminkey,adminsecret", "--config", "/dev/null"]);
                command.arg("--addr").arg(self.address.to_string()).arg(".");
            }
            Kind::S3rver => {
                command.args(["-d", ".", "-a", "127.0.0.1", "-p", &self.address.port().to_string()]);
            }
        }
        let child = command
            .current_dir(data)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// SIGKILL; the process is gone when this returns.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again on the same data and port, without waiting for it.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.spawn();
    }

    pub(crate) fn log(&self) -> String {
        read_lossy(&self.folder.path().join("server.log"))
    }

    fn make_bucket(&self, name: &str) {
        let client = self.client();
        until("a bucket", Duration::from_secs(90), || {
            let made = self.runtime.block_on(client.create_bucket().bucket(name).send());
            std::thread::sleep(Duration::from_millis(if made.is_ok() { 0 } else { 100 }));
            made.ok()
        });
        // Writable only once a volume has been grown.
        until("the store to take an object", Duration::from_secs(90), || {
            let put = client.put_object().bucket(name).key("_first").body(vec![1; 10].into());
            let done = self.runtime.block_on(put.send());
            std::thread::sleep(Duration::from_millis(if done.is_ok() { 0 } else { 100 }));
            done.ok()
        });
        self.runtime.block_on(client.delete_object().bucket(name).key("_first").send()).unwrap();
    }

    /// A client that may do everything.
    pub(crate) fn client(&self) -> aws_sdk_s3::Client {
        client_at(self.address, self.admin())
    }

    /// Key and size of all objects.
    pub(crate) fn list(&self) -> BTreeMap<String, u64> {
        let client = self.client();
        self.runtime.block_on(async {
            let mut all = BTreeMap::new();
            let mut after = None;
            loop {
                let page = client.list_objects_v2().bucket(BUCKET).set_continuation_token(after);
                let page = page.send().await.unwrap();
                for object in page.contents() {
                    let size = object.size().unwrap_or(0).try_into().unwrap();
                    all.insert(object.key().unwrap_or_default().to_owned(), size);
                }
                after = page.next_continuation_token().map(str::to_owned);
                if after.is_none() {
                    return all;
                }
            }
        })
    }

    pub(crate) fn get(&self, key: &str) -> Vec<u8> {
        let client = self.client();
        self.runtime.block_on(async {
            let object = client.get_object().bucket(BUCKET).key(key).send().await.unwrap();
            object.body.collect().await.unwrap().to_vec()
        })
    }

    /// Uploads that were begun and neither completed nor aborted.
    pub(crate) fn unfinished_uploads(&self) -> usize {
        let client = self.client();
        let list = self.runtime.block_on(client.list_multipart_uploads().bucket(BUCKET).send());
        list.unwrap().uploads().len()
    }

    /// All objects as files below a folder.
    pub(crate) fn download(&self, folder: &Path) {
        for key in self.list().keys() {
            let path = folder.join(key);
            if !path.exists() {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, self.get(key)).unwrap();
            }
        }
    }

    /// The gateway's own store on this bucket, by way of another address if one is given.
    pub(crate) fn store(&self, by: Option<SocketAddr>, change: impl FnOnce(&mut S3Options)) -> S3Store {
        store_at(by.unwrap_or(self.address), self.writer(), change)
    }

    /// The keys of a `[[destination]]` on this bucket. The secret is in the environment as `ONRECORD_IT_SECRET`.
    pub(crate) fn destination(&self, by: SocketAddr) -> Vec<(&'static str, String)> {
        destination_at(by, self.writer())
    }
}

/// A client with these keys.
pub(crate) fn client_at(address: SocketAddr, Keys(id, secret): Keys) -> aws_sdk_s3::Client {
    let tls = aws_smithy_http_client::tls::Provider::Rustls(
        aws_smithy_http_client::tls::rustls_provider::CryptoMode::AwsLc,
    );
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(aws_smithy_http_client::Builder::new().tls_provider(tls).build_https())
        .credentials_provider(Credentials::new(id, secret, None, None, "test"))
        .region(Region::new("us-east-1"))
        .endpoint_url(format!("http://{address}"))
        .force_path_style(true);
    aws_sdk_s3::Client::from_conf(config.build())
}

/// As [`Server::destination`], wherever that is.
pub(crate) fn destination_at(by: SocketAddr, keys: Keys) -> Vec<(&'static str, String)> {
    vec![
        ("type", "\"s3\"".to_owned()),
        ("bucket", format!("\"{BUCKET}\"")),
        ("region", "\"us-east-1\"".to_owned()),
        ("endpoint", format!("\"http://{by}\"")),
        ("path_style", "true".to_owned()),
        ("access_key_id", format!("\"{}\"", keys.0)),
        ("secret_access_key", "{ env = \"ONRECORD_IT_SECRET\" }".to_owned()),
    ]
}

/// The gateway's store on a server with these keys.
pub(crate) fn store_at(address: SocketAddr, keys: Keys, change: impl FnOnce(&mut S3Options)) -> S3Store {
    let mut options = S3Options::new(BUCKET);
    options.bucket.endpoint = Some(format!("http://{address}"));
    options.bucket.path_style = true;
    options.bucket.region = Some("us-east-1".to_owned());
    options.bucket.keys =
        Some(AccessKey { id: KeyId::Plain(keys.0.to_owned()), secret: secret(keys.1), session_token: None });
    change(&mut options);
    S3Store::new(&options, Clock::System)
}

/// A file with this secret.
pub(crate) fn secret(text: &str) -> SecretRef {
    use std::hash::{DefaultHasher, Hash, Hasher};
    static FOLDER: Mutex<Option<tempfile::TempDir>> = Mutex::new(None);
    let mut folder = FOLDER.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = folder.get_or_insert_with(|| tempfile::tempdir().unwrap());
    let mut hash = DefaultHasher::new();
    text.hash(&mut hash);
    let file = folder.path().join(format!("{:x}", hash.finish()));
    // Who reads the same one beside this must not find it empty.
    if !file.exists() {
        std::fs::write(&file, text).unwrap();
    }
    SecretRef::File(file)
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!(
                "--- the store's log (last 20 lines) ---\n{}\n---",
                lines[lines.len().saturating_sub(20)..].join("\n")
            );
        }
        self.kill();
    }
}
