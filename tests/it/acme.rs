//! Certificates by ACME, from Pebble, the test authority of Let's Encrypt.

use crate::harness::client::get;
use crate::harness::front_tls::{Authority, Client, shown};
use crate::harness::gateway::{Gateway, Source, free_port};
use crate::harness::origin::Origin;
use crate::harness::{PATIENCE, skip, until};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};

/// The authority, and a name server that leads every name to this machine.
struct Pebble {
    folder: tempfile::TempDir,
    processes: Vec<Child>,
    directory: SocketAddr,
    management: SocketAddr,
    authority: Authority,
}

impl Pebble {
    /// Starts it; it looks for proofs at this port. `None`: it is not installed.
    fn start(tls_port: u16) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("test-ca");
        let own = authority.server(&["localhost"]);
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("ca.pem", &authority.pem());
        write("srv.pem", &own.chain);
        write("srv.key", &own.key);
        let (directory, management, dns) = (free_port(), free_port(), free_port());
        let config = serde_json::json!({"pebble": {
            "listenAddress": directory.to_string(), "managementListenAddress": management.to_string(),
            "certificate": "srv.pem", "privateKey": "srv.key", "httpPort": 1, "tlsPort": tls_port,
            "ocspResponderURL": "", "externalAccountBindingRequired": false,
        }});
        write("config.json", &config.to_string());
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut processes = Vec::new();
        let off = ["-http01", "", "-https01", "", "-tlsalpn01", ""];
        let names = Command::new("pebble-challtestsrv")
            .args(["-defaultIPv6", "", "-defaultIPv4", "127.0.0.1", "-dns01", &dns.to_string()])
            .args(off)
            .args(["-management", &free_port().to_string()])
            .stdout(log.try_clone().unwrap())
            .stderr(log.try_clone().unwrap())
            .stdin(Stdio::null())
            .spawn();
        processes.push(names.ok()?);
        let pebble = Command::new("pebble")
            .args(["-config", "config.json", "-dnsserver", &dns.to_string()])
            .env("PEBBLE_VA_NOSLEEP", "1")
            // The client asks four times: with more than this it may be refused each time by chance.
            .env("PEBBLE_WFE_NONCEREJECT", "5")
            .current_dir(folder.path())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn();
        processes.push(pebble.ok()?);
        let started = Self { folder, processes, directory, management, authority };
        until("pebble", PATIENCE, || std::net::TcpStream::connect(directory).ok());
        until("its management", PATIENCE, || std::net::TcpStream::connect(management).ok());
        Some(started)
    }

    /// The root that its certificates lead to.
    fn root(&self) -> String {
        let client = Client::trusting(&self.authority.pem());
        let mut connection = client.connect(self.management, "localhost").unwrap();
        let response = connection.exchange(&get("/roots/0").host("localhost"));
        String::from_utf8(response.body).unwrap()
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.path().join("log")).unwrap()).into_owned()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            let _ = std::io::stderr().write_all(self.log().as_bytes());
        }
    }
}

#[test]
fn a_certificate_is_ordered_proved_shown_kept_and_not_ordered_twice() {
    let origin = Origin::start();
    let port = free_port();
    let Some(pebble) = Pebble::start(port.port()) else {
        return skip("acme", "pebble and pebble-challtestsrv are not installed");
    };
    let toml = |directory: SocketAddr| {
        let port_here = directory.port();
        format!("directory = \"https://localhost:{port_here}/dir\"")
    };
    let source = Source::new("api", &origin.url()).also_listen(&port.to_string());
    let listener = format!(
        "[[listener]]\naddress = \"{port}\"\n[listener.tls]\nacme = [\"gw.example.test\", \"api.example.test\"]\n\n\
         [acme]\nagree_to_terms = true\ncontact = [\"ops@example.test\"]\nca = \"acme-ca.pem\"\ndir = \"acme\"\n{}",
        toml(pebble.directory)
    );
    let mut gateway =
        Gateway::builder().source(source).raw(&listener).file("acme-ca.pem", &pebble.authority.pem()).start();
    let client = Client::trusting(&pebble.root());
    let first = until("a certificate", PATIENCE, || {
        let mut connection = client.connect(port, "gw.example.test").ok()?;
        assert_eq!(connection.exchange(&get("/by-acme")).status, 200);
        Some(shown(&connection))
    });
    assert!(client.connect(port, "api.example.test").is_ok(), "it is for both names");
    let folder = gateway.root().join("acme");
    let kept: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
    for file in &kept {
        assert_eq!(std::fs::metadata(file).unwrap().mode() & 0o777, 0o600, "{file:?}");
    }
    assert!(gateway.metric("onrecord_tls_handshakes_total", "acme_challenge") >= 2.0);
    let told = until("the status", PATIENCE, || {
        let status = gateway.status();
        let rows = status["listeners"].as_array().unwrap().clone();
        rows.into_iter().find(|row| row["tls"]["acme"]["not_after"].is_string())
    });
    assert_eq!(told["tls"]["acme"]["problem"], serde_json::Value::Null);
    gateway.stop();
    gateway.restart();
    let again = until("the kept certificate", PATIENCE, || {
        Some(shown(&client.connect(port, "gw.example.test").ok()?))
    });
    assert_eq!(again, first, "a restart orders nothing");
}
