//! Emulators of Azure's and Google's stores: installed servers on free ports, with their data
//! below a temporary folder.
//!
//! Programs are found by `ONRECORD_AZURITE`, `ONRECORD_FAKE_GCS`, or on the path. A test whose
//! server is not there is skipped in one line.

use super::gateway::{free_port, read_lossy};
use super::until;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use onrecord::egress::{self, Client, Route};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A program, by its variable or on the path.
pub(crate) fn find(variable: &str, name: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(name));
    named.into_iter().chain(on_path).find(|path| path.is_file())
}

/// A child process with its folder and log.
pub(crate) struct Process {
    child: Child,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) address: SocketAddr,
}

impl Process {
    /// Starts it on a free port and waits until the port is open.
    pub(crate) fn start(arguments: impl FnOnce(&Path, SocketAddr) -> Command) -> Self {
        let folder = tempfile::Builder::new().prefix("onrecord-cloud-").tempdir().unwrap();
        let address = free_port();
        let log = std::fs::File::create(folder.path().join("server.log")).unwrap();
        let child = arguments(folder.path(), address)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut process = Self { child, folder, address };
        until("the server's port", Duration::from_secs(60), || {
            assert!(process.child.try_wait().unwrap().is_none(), "the server has ended");
            let open = std::net::TcpStream::connect(address).ok();
            if open.is_none() {
                std::thread::sleep(Duration::from_millis(50));
            }
            open
        });
        process
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- the server's log ---\n{}\n---",
                read_lossy(&self.folder.path().join("server.log"))
            );
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One call with what came back.
pub(crate) fn call(method: Method, url: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Bytes) {
    call_by(&Route::default(), method, url, headers, body)
}

fn call_by(route: &Route, method: Method, url: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Bytes) {
    crate::stores::wait(async {
        let mut request = Request::builder().method(method).uri(url).header("content-length", body.len());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(egress::bytes(body.to_vec())).unwrap();
        let response = Client::new(route).unwrap().call(request).await.unwrap();
        let status = response.status().as_u16();
        (status, response.into_body().collect().await.unwrap().to_bytes())
    })
}

/// Azurite, the emulator of Azure's blobs.
pub(crate) struct Azurite {
    process: Process,
    /// Where it speaks TLS: its authority.
    ca: Option<PathBuf>,
}

const ACCOUNT: &str = "auditacct";
const VERSION: &str = "2021-12-02";

impl Azurite {
    /// Starts it with the container `audit`; `None`, after saying so, where it is not installed.
    pub(crate) fn start(test: &str) -> Option<Self> {
        Self::start_with(test, None)
    }

    /// The same over TLS, with tokens beside signatures.
    pub(crate) fn start_secure(test: &str, authority: &super::tls::Authority) -> Option<Self> {
        Self::start_with(test, Some(authority))
    }

    fn start_with(test: &str, authority: Option<&super::tls::Authority>) -> Option<Self> {
        let Some(program) = find("ONRECORD_AZURITE", "azurite-blob") else {
            super::skip(test, "azurite is not installed (.ci/run does)");
            return None;
        };
        let process = Process::start(|folder, address| {
            let mut command = Command::new(program);
            command
                .env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{}", Self::key()))
                .args(["--blobHost", "127.0.0.1", "--blobPort", &address.port().to_string()])
                .args(["--disableTelemetry", "--skipApiVersionCheck", "--location"])
                .arg(folder.join("data"));
            if let Some(authority) = authority {
                let identity = authority.identity(&["127.0.0.1"]);
                std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
                std::fs::write(folder.join("tls.pem"), &identity.certificate).unwrap();
                std::fs::write(folder.join("tls.key"), &identity.key).unwrap();
                command.args(["--oauth", "basic", "--cert"]).arg(folder.join("tls.pem"));
                command.arg("--key").arg(folder.join("tls.key"));
            }
            command
        });
        let ca = authority.map(|_| process.folder.path().join("ca.pem"));
        let azurite = Self { process, ca };
        let url = format!("{}?restype=container&{}", azurite.container("audit"), azurite.account_sas());
        let (status, body) = azurite.call(Method::PUT, &url);
        assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
        Some(azurite)
    }

    /// The account's key.
    pub(crate) fn key() -> String {
        STANDARD.encode("k".repeat(32))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.process.address
    }

    pub(crate) fn container(&self, name: &str) -> String {
        let scheme = if self.ca.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/{ACCOUNT}/{name}", self.process.address)
    }

    fn call(&self, method: Method, url: &str) -> (u16, Bytes) {
        let route = Route { ca: self.ca.clone(), ..Route::default() };
        call_by(&route, method, url, &[("x-ms-version", VERSION)], b"")
    }

    fn sign(text: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, "k".repeat(32).as_bytes());
        let tag = STANDARD.encode(hmac::sign(&key, text.as_bytes()).as_ref());
        percent_encoding::utf8_percent_encode(&tag, percent_encoding::NON_ALPHANUMERIC).to_string()
    }

    /// A signature for the container `audit` with these permissions, that ends in so many hours.
    pub(crate) fn sas(&self, permissions: &str, hours: i64) -> String {
        let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours);
        let end = end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        // "Create a service SAS", version 2020-12-06 and later: 16 fields.
        let fields = [permissions, "", &end, &format!("/blob/{ACCOUNT}/audit"), "", "", "", VERSION, "c"];
        let text = format!("{}\n\n\n\n\n\n\n", fields.join("\n"));
        let end = end.replace(':', "%3A");
        format!("sv={VERSION}&se={end}&sr=c&sp={permissions}&sig={}", Self::sign(&text))
    }

    /// A signature that may do everything with the account, to set up and to look.
    fn account_sas(&self) -> String {
        let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
        let end = end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let fields = [ACCOUNT, "rwdlac", "b", "sco", "", &end, "", "", VERSION, "", ""];
        let sig = Self::sign(&fields.join("\n"));
        format!("sv={VERSION}&ss=b&srt=sco&sp=rwdlac&se={}&sig={sig}", end.replace(':', "%3A"))
    }

    /// Keys of all blobs.
    pub(crate) fn list(&self) -> Vec<String> {
        let url = format!("{}?restype=container&comp=list&{}", self.container("audit"), self.account_sas());
        let (status, body) = self.call(Method::GET, &url);
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert_eq!(status, 200, "{text}");
        let names = text.split("<Name>").skip(1).filter_map(|rest| rest.split("</Name>").next());
        names.map(str::to_owned).collect()
    }

    pub(crate) fn get(&self, key: &str) -> Vec<u8> {
        let key = key.replace('%', "%25");
        let url = format!("{}/{key}?{}", self.container("audit"), self.account_sas());
        let (status, body) = self.call(Method::GET, &url);
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        body.to_vec()
    }
}

/// An emulator of Google Cloud Storage, with the bucket `audit`.
pub(crate) struct FakeGcs {
    process: Process,
}

impl FakeGcs {
    /// Starts it; `None`, after saying so, where it is not installed.
    pub(crate) fn start(test: &str) -> Option<Self> {
        let Some(program) = find("ONRECORD_FAKE_GCS", "fake-gcs-server") else {
            super::skip(test, "fake-gcs-server is not installed (.ci/run does)");
            return None;
        };
        let process = Process::start(|folder, address| {
            let mut command = Command::new(program);
            let url = format!("http://{address}");
            command
                .args(["-backend", "filesystem", "-scheme", "http", "-host", "127.0.0.1"])
                .args(["-port", &address.port().to_string(), "-public-host", &address.to_string()])
                .args(["-external-url", &url, "-filesystem-root"])
                .arg(folder.join("data"));
            command
        });
        let fake = Self { process };
        let url = format!("{}/storage/v1/b?project=p", fake.url());
        let (status, body) =
            call(Method::POST, &url, &[("content-type", "application/json")], b"{\"name\":\"audit\"}");
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        Some(fake)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.process.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.process.address)
    }

    pub(crate) fn list(&self) -> Vec<String> {
        let (status, body) = call(Method::GET, &format!("{}/storage/v1/b/audit/o", self.url()), &[], b"");
        assert_eq!(status, 200);
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let items = value["items"].as_array().cloned().unwrap_or_default();
        items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn get(&self, key: &str) -> Vec<u8> {
        let key = percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC);
        let url = format!("{}/storage/v1/b/audit/o/{key}?alt=media", self.url());
        let (status, body) = call(Method::GET, &url, &[], b"");
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        body.to_vec()
    }
}
