//! A little traffic for `onrecord demo`: several clients at work on the sample API.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Why the traffic ended early.
#[derive(Debug, thiserror::Error)]
pub enum TrafficError {
    /// The address is not `http://host:port`.
    #[error("{0} is not http://host:port")]
    Address(String),
    /// The gateway can't be reached.
    #[error("can't connect to {0}")]
    Connect(String, #[source] std::io::Error),
    /// The gateway broke off.
    #[error("a request did not come through")]
    Request(#[from] hyper::Error),
    /// A request of this module's own making is not valid.
    #[error("a request can't be made")]
    Make(#[from] http::Error),
}

/// What became of the traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Requests that were answered in full.
    pub answered: usize,
    /// Requests whose response the client left on purpose.
    pub left: usize,
}

/// One client: its software and its token.
struct Client {
    agent: &'static str,
    token: Option<&'static str>,
}

const CLIENTS: [Client; 4] = [
    Client { agent: "contentful-management.js/12.18.0", token: Some("sample-token-of-an-editor") },
    Client { agent: "Mozilla/5.0 (X11; Linux x86_64) demo", token: Some("sample-token-of-the-web-app") },
    Client { agent: "python-requests/2.32.0", token: Some("sample-token-of-a-script") },
    Client { agent: "curl/8.9.0", token: None },
];

/// One request of the script.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    client: usize,
    method: Method,
    path: String,
    version: Option<u64>,
    body: &'static str,
    /// Leave after the first piece of the response.
    leave: bool,
}

/// Sends this many requests to `base` (`http://host:port`), one after the other,
/// and returns what became of them.
///
/// # Errors
/// [`TrafficError`], at the first request that fails for any reason but its status.
pub async fn traffic(base: &str, requests: usize) -> Result<Sent, TrafficError> {
    let not_an_address = || TrafficError::Address(base.to_owned());
    let uri: Uri = base.parse().map_err(|_| not_an_address())?;
    let authority =
        uri.authority().filter(|authority| authority.port().is_some()).ok_or_else(not_an_address)?.as_str();
    let mut sent = Sent::default();
    let mut connections: [Option<http1::SendRequest<Full<Bytes>>>; CLIENTS.len()] = Default::default();
    for step in (0..requests).map(step) {
        let mut kept = connections[step.client].take();
        if let Some(sender) = &mut kept
            && sender.ready().await.is_err()
        {
            // The gateway closed the idle connection.
            kept = None;
        }
        let sender = match kept {
            Some(sender) => sender,
            None => connect(authority).await?,
        };
        connections[step.client] = send(sender, authority, &step, &mut sent).await?;
    }
    Ok(sent)
}

async fn connect(authority: &str) -> Result<http1::SendRequest<Full<Bytes>>, TrafficError> {
    let stream = TcpStream::connect(authority).await;
    let stream = stream.map_err(|error| TrafficError::Connect(authority.to_owned(), error))?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends when the sender is dropped; its errors come out of the requests.
    tokio::spawn(connection);
    Ok(sender)
}

/// Sends one request; gives the connection back if it can be used again.
async fn send(
    mut sender: http1::SendRequest<Full<Bytes>>,
    authority: &str,
    step: &Step,
    sent: &mut Sent,
) -> Result<Option<http1::SendRequest<Full<Bytes>>>, TrafficError> {
    let client = &CLIENTS[step.client];
    let mut request = Request::builder()
        .method(&step.method)
        .uri(&step.path)
        .header(HOST, authority)
        .header(USER_AGENT, client.agent);
    if let Some(token) = client.token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    if let Some(version) = step.version {
        request = request.header("x-contentful-version", version);
    }
    if !step.body.is_empty() {
        request = request.header(CONTENT_TYPE, "application/vnd.contentful.management.v1+json");
    }
    let response =
        sender.send_request(request.body(Full::new(Bytes::from_static(step.body.as_bytes())))?).await?;
    let mut body = response.into_body();
    if step.leave {
        let _ = body.frame().await;
        sent.left += 1;
        return Ok(None);
    }
    while let Some(frame) = body.frame().await {
        frame?;
    }
    sent.answered += 1;
    Ok(Some(sender))
}

/// The script: an editor's work on one entry, others reading, some mistakes; over and over.
fn step(index: usize) -> Step {
    const ENVIRONMENT: &str = "/spaces/demo/environments/master";
    const FIRST: &str = r#"{"fields":{"title":{"en-US":"On the record"}}}"#;
    const SECOND: &str = r#"{"fields":{"title":{"en-US":"On the record, again"}}}"#;
    const ROUND: usize = 15;
    let entry = format!("{ENVIRONMENT}/entries/article-{}", index / ROUND);
    let plain =
        |client, method, path: String| Step { client, method, path, version: None, body: "", leave: false };
    match index % ROUND {
        0 => plain(0, Method::GET, "/users/me".to_owned()),
        1 => plain(0, Method::GET, format!("{ENVIRONMENT}/content_types")),
        2 => Step { body: FIRST, ..plain(0, Method::PUT, entry) },
        3 => plain(
            1,
            Method::GET,
            format!("{ENVIRONMENT}/entries?content_type=article&access_token=sample-secret"),
        ),
        4 => Step { version: Some(1), body: SECOND, ..plain(0, Method::PUT, entry) },
        5 => Step { version: Some(1), body: SECOND, ..plain(2, Method::PUT, entry) },
        6 => plain(0, Method::PUT, format!("{entry}/published")),
        7 => plain(1, Method::GET, entry),
        8 => Step {
            body: r#"{"title":"no fields"}"#,
            ..plain(2, Method::POST, format!("{ENVIRONMENT}/entries"))
        },
        9 => Step { body: FIRST, ..plain(2, Method::POST, format!("{ENVIRONMENT}/entries")) },
        10 => plain(3, Method::GET, "/spaces/demo".to_owned()),
        11 => Step { leave: true, ..plain(1, Method::GET, format!("{ENVIRONMENT}/assets")) },
        12 => plain(1, Method::GET, format!("{entry}/references")),
        13 => plain(0, Method::DELETE, format!("{entry}/published")),
        _ => plain(0, Method::DELETE, entry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sample;
    use tokio::net::TcpListener;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn a_round_of_traffic_gets_every_kind_of_answer_from_the_sample() {
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let base = format!("http://{}", listener.local_addr().unwrap());
            let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
            let served = tokio::spawn(sample::serve(listener, async { drop(stopped.await) }));
            let sent = traffic(&base, 15).await.unwrap();
            assert_eq!(sent, Sent { answered: 14, left: 1 });
            let statuses = statuses(base.trim_start_matches("http://")).await;
            assert_eq!(statuses, [200, 200, 201, 200, 200, 409, 200, 200, 422, 201, 401, 200, 200, 200, 204]);
            drop(stop);
            served.await.unwrap().unwrap();
        });
    }

    /// The script's second round, one connection a request, and the sample's mark on each answer.
    async fn statuses(authority: &str) -> Vec<u16> {
        let mut statuses = Vec::new();
        for step in (15..30).map(step) {
            let client = &CLIENTS[step.client];
            let mut request = Request::builder().method(&step.method).uri(&step.path).header(HOST, authority);
            if let Some(token) = client.token {
                request = request.header(AUTHORIZATION, token);
            }
            if let Some(version) = step.version {
                request = request.header("x-contentful-version", version);
            }
            let body = Full::new(Bytes::from_static(step.body.as_bytes()));
            let response =
                connect(authority).await.unwrap().send_request(request.body(body).unwrap()).await.unwrap();
            assert_eq!(response.headers()["x-sample"], "onrecord-demo");
            assert_eq!(response.headers()["x-contentful-request-id"].len(), 36);
            let cached = response.headers().contains_key("x-cache");
            assert_eq!(cached, step.method == Method::GET && response.status().is_success());
            statuses.push(response.status().as_u16());
        }
        statuses
    }

    #[test]
    fn what_is_no_address_is_an_error() {
        for base in ["", "localhost", "http://", "http://host", "\0"] {
            assert!(matches!(block_on(traffic(base, 1)), Err(TrafficError::Address(_))), "{base:?}");
        }
    }
}
