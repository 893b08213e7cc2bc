//! Notices: told by webhook and e-mail when a destination fails and when it delivers again.

use crate::harness::client::get;
use crate::harness::gateway::{Builder, Gateway, Source, free_port, onrecord, read_lossy};
use crate::harness::origin::Origin;
use crate::harness::records::Objects;
use crate::harness::{PATIENCE, skip, until};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

/// The signature, if there was one, and the body.
type Got = (Option<String>, Vec<u8>);

/// A receiver of webhooks: the first answers are these statuses, all others 200.
struct Receiver {
    url: String,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Receiver {
    fn start(first: &'static [u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let got: Arc<Mutex<Vec<Got>>> = Arc::default();
        let into = Arc::clone(&got);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let mut reader = BufReader::new(stream.unwrap());
                let (mut length, mut signature) = (0, None);
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap() <= 2 {
                        break;
                    }
                    let (name, value) = line.trim().split_once(':').unwrap_or_default();
                    match name.to_ascii_lowercase().as_str() {
                        "content-length" => length = value.trim().parse().unwrap(),
                        "onrecord-signature" => signature = Some(value.trim().to_owned()),
                        _ => {}
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                into.lock().unwrap().push((signature, body));
                let status = first.get(number).copied().unwrap_or(200);
                let answer =
                    format!("HTTP/1.1 {status} X\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n");
                let _ = reader.into_inner().write_all(answer.as_bytes());
            }
        });
        Self { url, got }
    }

    fn got(&self) -> Vec<Value> {
        self.got.lock().unwrap().iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect()
    }

    fn wait(&self, count: usize) -> Vec<Value> {
        until("the notices", PATIENCE, || Some(self.got()).filter(|got| got.len() >= count))
    }
}

/// A gateway whose only destination fails until it is mended.
fn failing(origin: &Origin, notify: &str) -> Builder {
    Gateway::builder()
        .source(Source::new("api", &origin.url()))
        .main_destination(&[("path", "\"blocked/objects\"")])
        .file("blocked", "a file where a folder should be")
        .raw(notify)
}

fn mend(gateway: &Gateway) {
    let config = std::fs::read_to_string(gateway.config_path()).unwrap();
    std::fs::write(gateway.config_path(), config.replace("\"blocked/objects\"", "\"objects/main\"")).unwrap();
    gateway.sighup();
}

#[test]
fn a_webhook_is_told_of_a_failure_and_of_its_end_signed_once_each_and_again_where_it_must() {
    let (origin, receiver) = (Origin::start(), Receiver::start(&[503]));
    let notify = format!(
        "[notify]\nafter = \"0s\"\nwebhooks = [{{ name = \"ops\", url = \"{}\", secret = {{ env = \"ONRECORD_IT_HOOK\" }} }}]",
        receiver.url
    );
    let mut gateway = failing(&origin, &notify).environment("ONRECORD_IT_HOOK", "key").start();
    get("/one").send(gateway.address());
    let told = receiver.wait(2);
    assert_eq!(told[0], told[1], "the same notice is sent again after a 503");
    assert_eq!((&told[0]["kind"], &told[0]["destination"]), (&"failing".into(), &"main".into()));
    assert!(told[0]["mend"].is_string() && told[0]["cause"].is_string() && told[0]["since"].is_string());
    for (signature, body) in receiver.got.lock().unwrap().iter() {
        let (time, hash) = signature.as_deref().unwrap().split_once(",v1=").unwrap();
        let text = [time.strip_prefix("t=").unwrap().as_bytes(), b".", body].concat();
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"key");
        let hash: Vec<u8> =
            (0..32).map(|at| u8::from_str_radix(&hash[2 * at..2 * at + 2], 16).unwrap()).collect();
        aws_lc_rs::hmac::verify(&key, &text, &hash).unwrap();
    }
    mend(&gateway);
    let told = receiver.wait(3);
    assert_eq!(told[2]["kind"], "recovered");
    until("the count", PATIENCE, || (gateway.metric("onrecord_notices_total", "sent") >= 2.0).then_some(()));
    // What was told is known after a restart.
    gateway.stop();
    gateway.restart();
    gateway.wait_for_records(1, PATIENCE);
    let history = gateway.admin("/api/v1/destinations/main/history").json();
    let notices = history["entries"].as_array().unwrap().iter().filter(|entry| entry["event"] == "notice");
    assert_eq!(notices.map(|entry| &entry["notice"]).collect::<Vec<_>>(), ["recovered", "failing"]);
    gateway.finish();
    assert_eq!(receiver.got().len(), 3);
    let own = Objects::default().own(&gateway.destination("main"));
    let kinds = own.iter().filter(|record| record.text("event.action") == "notice");
    let mut kinds: Vec<_> = kinds.map(|record| record.text("notice.kind").to_owned()).collect();
    kinds.sort();
    assert_eq!(kinds, ["failing", "recovered"]);
}

#[test]
fn slack_and_pagerduty_get_what_they_take_and_a_redirect_is_not_followed() {
    let (slack, pager, moved) = (Receiver::start(&[]), Receiver::start(&[202]), Receiver::start(&[302]));
    let notify = format!(
        r#"[notify]
webhooks = [
  {{ name = "slack", preset = "slack", url = {{ env = "ONRECORD_IT_SLACK" }} }},
  {{ name = "pager", preset = "pagerduty", url = "{}", routing_key = {{ env = "ONRECORD_IT_PAGER" }} }},
  {{ name = "moved", url = "{}" }},
]"#,
        pager.url, moved.url
    );
    let gateway = Gateway::builder().source(Source::new("api", "http://127.0.0.1:9")).raw(&notify).prepare();
    let config = gateway.config_path().display().to_string();
    let environment = [("ONRECORD_IT_SLACK", slack.url.as_str()), ("ONRECORD_IT_PAGER", "routing")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let (code, output) = onrecord(&["notify", "test", "--config", &config], &environment);
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("slack: sent") && output.contains("pager: sent"), "{output}");
    assert!(output.contains("moved: not sent: it answers 302"), "{output}");
    assert!(slack.got()[0]["text"].as_str().unwrap().contains("a test of notices"));
    let event = &pager.got()[0];
    assert_eq!((&event["routing_key"], &event["event_action"]), (&"routing".into(), &"trigger".into()));
    assert_eq!(event["payload"]["severity"], "info");
    assert_eq!(moved.got().len(), 1);
}

/// A mail server that wants STARTTLS and a login, refuses `nobody@` and writes down the rest.
const SMTP: &str = r#"
import asyncio, ssl, sys
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
folder, port = sys.argv[1], int(sys.argv[2])
class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith('nobody@'):
            return '550 no such user'
        envelope.rcpt_tos.append(address)
        return '250 OK'
    async def handle_DATA(self, server, session, envelope):
        with open(f'{folder}/mail', 'ab') as file:
            file.write(f'RCPT {envelope.rcpt_tos} TLS {session.ssl is not None} AS {session.auth_data}\n'.encode())
            file.write(envelope.content + b'\nEND\n')
        return '250 OK'
def login(server, session, envelope, mechanism, data):
    good = data.login == b'onrecord' and data.password == b'password'
    return AuthResult(success=good, handled=good, auth_data=data.login.decode())
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(f'{folder}/chain.pem', f'{folder}/key.pem')
Controller(Handler(), hostname='127.0.0.1', port=port, tls_context=context, require_starttls=True,
           auth_required=True, authenticator=login).start()
print('ready', flush=True)
sys.stdin.read()
"#;

struct MailServer {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl MailServer {
    /// `None`, after saying so, where Python has no aiosmtpd.
    fn start(test: &str) -> Option<Self> {
        let python = std::env::var_os("ONRECORD_SMTP_PYTHON").map_or_else(|| "python3".into(), PathBuf::from);
        let has = Command::new(&python).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
        if !has.is_ok_and(|status| status.success()) {
            skip(test, "aiosmtpd is not installed (.ci/run does)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(folder.path().join("chain.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let port = free_port().port();
        let mut child = Command::new(python)
            .args(["-c", SMTP, &folder.path().display().to_string(), &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Some(Self { child, folder, port })
    }

    fn notify(&self, to: &str, ca: &Path) -> String {
        format!(
            "[notify]\nafter = \"0s\"\n[notify.email]\nserver = \"localhost\"\nport = {}\nuser = \"onrecord\"\n\
             password = {{ env = \"ONRECORD_IT_SMTP\" }}\nfrom = \"gateway@example.com\"\nto = [{to}]\nca = {ca:?}\n",
            self.port
        )
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("chain.pem")
    }

    fn mail(&self) -> String {
        let path = self.folder.path().join("mail");
        if path.exists() { read_lossy(&path) } else { String::new() }
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn email_goes_by_starttls_and_login_to_everybody_and_to_the_owners_also_if_one_is_refused() {
    let Some(server) = MailServer::start("notices (e-mail)") else { return };
    let origin = Origin::start();
    let notify = server.notify("\"ops@example.com\", \"nobody@example.com\"", &server.ca());
    let gateway = Gateway::builder()
        .source(Source::new("api", &origin.url()))
        .main_destination(&[
            ("path", "\"blocked/objects\""),
            ("owners", "[\"owner@example.com\", \"OPS@example.com\"]"),
        ])
        .file("blocked", "a file where a folder should be")
        .raw(&notify)
        .environment("ONRECORD_IT_SMTP", "password")
        .start();
    get("/one").send(gateway.address());
    until("two mails", PATIENCE, || (server.mail().matches("END").count() >= 2).then_some(()));
    mend(&gateway);
    until("two more", PATIENCE, || (server.mail().matches("END").count() >= 4).then_some(()));
    let mail = server.mail();
    for part in [
        "RCPT ['ops@example.com'] TLS True AS onrecord",
        "RCPT ['owner@example.com'] TLS True AS onrecord",
        "Subject: [onrecord] main of it: delivery is failing",
        "Subject: [onrecord] main of it: delivers again",
        "Auto-Submitted: auto-generated",
        "To mend it: ",
    ] {
        assert!(mail.contains(part), "{part}\nnot in\n{mail}");
    }
    assert_eq!(mail.matches("RCPT").count(), 4, "each gets each notice once: {mail}");
    assert!(!gateway.log().contains("password=") && !mail.contains("nobody@"));
}

#[test]
fn a_test_by_email_says_what_is_wrong_with_authority_password_and_recipient() {
    let Some(server) = MailServer::start("notices (e-mail test)") else { return };
    let other = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(other.path().join("ca.pem"), made.cert.pem()).unwrap();
    let test = |notify: &str, password: &str| {
        let gateway =
            Gateway::builder().source(Source::new("api", "http://127.0.0.1:9")).raw(notify).prepare();
        let config = gateway.config_path().display().to_string();
        let environment = [("ONRECORD_IT_SMTP".to_owned(), password.to_owned())];
        onrecord(&["notify", "test", "--config", &config], &environment)
    };
    let ops = server.notify("\"ops@example.com\"", &server.ca());
    assert_eq!(test(&ops, "password"), (Some(0), "email: sent\n".to_owned()));
    let (code, output) = test(&ops, "wrong");
    assert!(code == Some(1) && output.contains("535"), "{output}");
    let (code, output) = test(&server.notify("\"nobody@example.com\"", &server.ca()), "password");
    assert!(code == Some(1) && output.contains("no such user"), "{output}");
    let (code, output) =
        test(&server.notify("\"ops@example.com\"", &other.path().join("ca.pem")), "password");
    assert!(code == Some(1) && output.to_lowercase().contains("certificate"), "{output}");
    assert_eq!(server.mail().matches("END").count(), 1);
}
