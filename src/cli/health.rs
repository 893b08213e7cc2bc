//! `onrecord health`: asks a running gateway how it is, for containers and supervisors.

use super::{HealthArgs, print_error};
use http::{Method, StatusCode};
use serde::Deserialize;
use std::process::ExitCode;
use std::time::Duration;

/// What `/readyz` says.
#[derive(Deserialize)]
struct Readiness {
    reasons: Vec<String>,
}

/// Says how the gateway is: exit code 0 if it is well, else 1 and the reasons.
pub(super) fn health(args: &HealthArgs) -> ExitCode {
    let path = if args.live { "/healthz" } else { "/readyz" };
    let url = format!("{}{path}", args.url.trim_end_matches('/'));
    match args.admin.ask(Method::GET, &url, Duration::from_millis(args.timeout)) {
        Ok((status, _)) if status.is_success() => {
            println!("{}", if args.live { "alive" } else { "ready" });
            ExitCode::SUCCESS
        }
        Ok((status, body)) => {
            for reason in reasons(status, &body) {
                eprintln!("onrecord: not ready: {reason}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            print_error(&error);
            ExitCode::FAILURE
        }
    }
}

/// The reasons of a refusal; never none.
fn reasons(status: StatusCode, body: &[u8]) -> Vec<String> {
    match serde_json::from_slice::<Readiness>(body) {
        Ok(told) if !told.reasons.is_empty() => told.reasons,
        _ => vec![format!("the admin listener answers {status}")],
    }
}

#[cfg(test)]
mod tests {
    use super::super::AdminArgs;
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// What `health` makes of a listener that answers with these bytes, and what that was asked.
    fn told(answer: &'static str, live: bool) -> (ExitCode, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 1024];
            let count = stream.read(&mut asked).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&asked[..count]).into_owned()
        });
        (
            health(&HealthArgs { url, live, timeout: 10_000, admin: AdminArgs::default() }),
            asked.join().unwrap(),
        )
    }

    #[test]
    fn readiness_or_life_is_asked_and_success_believed() {
        let ok = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        let (code, asked) = told(ok, false);
        assert_eq!(code, ExitCode::SUCCESS);
        assert!(asked.starts_with("GET /readyz HTTP/1.1\r\n"), "{asked}");
        let (code, asked) = told(ok, true);
        assert_eq!(code, ExitCode::SUCCESS);
        assert!(asked.starts_with("GET /healthz HTTP/1.1\r\n"), "{asked}");
    }

    #[test]
    fn a_refusal_and_nonsense_are_failures() {
        for answer in ["HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", "220 mail.example ESMTP\r\n\r\n", ""] {
            assert_eq!(told(answer, false).0, ExitCode::FAILURE, "{answer}");
        }
    }

    #[test]
    fn a_listener_that_says_nothing_is_not_waited_for() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        assert_eq!(
            health(&HealthArgs { url, live: false, timeout: 50, admin: AdminArgs::default() }),
            ExitCode::FAILURE
        );
    }

    #[test]
    fn each_reason_is_told() {
        let body = br#"{"ready":false,"reasons":["the disk is full","b"]}"#;
        assert_eq!(reasons(StatusCode::SERVICE_UNAVAILABLE, body), ["the disk is full", "b"]);
        let none = reasons(StatusCode::BAD_GATEWAY, b"?");
        assert_eq!(none, ["the admin listener answers 502 Bad Gateway"]);
    }
}
