//! Somebody who issues tokens: keys, and a server for their public halves.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// The issuer's name in its tokens.
pub(crate) const NAME: &str = "https://idp.test";

/// One signing key of an issuer.
pub(crate) struct SigningKey {
    id: String,
    pair: EcdsaKeyPair,
}

impl SigningKey {
    pub(crate) fn new(id: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { id: id.to_owned(), pair }
    }

    fn public(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        json!({"kty": "EC", "crv": "P-256", "kid": self.id, "use": "sig",
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..])})
    }

    /// A token of [`NAME`] for `api` with these claims beside the usual ones.
    pub(crate) fn token(&self, subject: &str, more: &Value) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({"iss": NAME, "aud": "api", "sub": subject, "iat": now, "exp": now + 600});
        for (name, value) in more.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        let head = json!({"alg": "ES256", "kid": self.id, "typ": "JWT"});
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(&head), encode(&claims));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

/// The public halves as a key set.
pub(crate) fn key_set(keys: &[&SigningKey]) -> String {
    let keys: Vec<Value> = keys.iter().map(|key| key.public()).collect();
    json!({ "keys": keys }).to_string()
}

/// Serves a key set over HTTP until it is dropped.
pub(crate) struct KeyServer {
    address: SocketAddr,
    body: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicUsize>,
    seen: Arc<Mutex<String>>,
    stop: Arc<AtomicBool>,
}

impl KeyServer {
    /// `None`: connections are closed without an answer.
    pub(crate) fn start(body: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            body: Arc::new(Mutex::new(body)),
            asked: Arc::default(),
            seen: Arc::default(),
            stop: Arc::default(),
        };
        let (body, asked, stop) =
            (Arc::clone(&server.body), Arc::clone(&server.asked), Arc::clone(&server.stop));
        let seen = Arc::clone(&server.seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                asked.fetch_add(1, Ordering::SeqCst);
                let Some(body) = body.lock().unwrap().clone() else { continue };
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut text, mut length) = (String::new(), 0);
                while reader.read_line(&mut text).is_ok_and(|read| read > 2) {
                    let line = text.rsplit_terminator('\n').next().unwrap_or_default().to_ascii_lowercase();
                    if let Some(value) = line.strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                }
                let mut form = vec![0; length];
                let _ = reader.read_exact(&mut form);
                *seen.lock().unwrap() = text + &String::from_utf8_lossy(&form);
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/jwks.json", self.address)
    }

    pub(crate) fn serve(&self, body: Option<String>) {
        *self.body.lock().unwrap() = body;
    }

    /// The request that was answered last.
    pub(crate) fn seen(&self) -> String {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = std::net::TcpStream::connect(self.address);
    }
}
