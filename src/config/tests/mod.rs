//! Tests of the whole way from text to [`Config`](super::Config).

mod accepted;
mod access;
mod described;
mod formats;
mod redaction;
mod refused;
mod reloaded;
mod stores;
mod streams;

use super::{Config, Problems, parse};
use std::path::Path;

/// The smallest valid file.
const SMALL: &str = r#"
[[source]]
name = "cma"
listen = "127.0.0.1:8080"
upstream = "http://127.0.0.1:9000"
[[destination]]
name = "archive"
type = "dir"
path = "objects"
"#;

/// The same with a bucket.
const BUCKET: &str = r#"
[[source]]
name = "cma"
listen = "127.0.0.1:8080"
upstream = "http://127.0.0.1:9000"
[[destination]]
name = "vault"
type = "s3"
bucket = "audit-1"
"#;

fn read(text: &str) -> Result<Config, Problems> {
    parse(Path::new("proxy.toml"), text)
}

fn valid(text: &str) -> Config {
    read(text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The problems as they are printed, without the file's name.
fn problems(text: &str) -> Vec<String> {
    let problems = read(text).err().map(|problems| problems.to_string()).unwrap_or_default();
    problems.lines().map(|line| line.replace("proxy.toml:", "")).collect()
}
