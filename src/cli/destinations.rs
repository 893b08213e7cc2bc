//! `onrecord destinations`: sees and controls the destinations of a running gateway.

use super::admin_call::{AdminArgs, GetError};
use super::{OutputFormat, print_error};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::Value;
use std::process::ExitCode;
use std::time::Duration;

/// For an answer; a probe waits for its store.
const TIMEOUT: Duration = Duration::from_secs(10);
const PROBE_TIMEOUT: Duration = Duration::from_secs(40);

/// What `onrecord destinations` takes.
#[derive(Debug, Args)]
pub struct DestinationsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: Destinations,
    /// The gateway's admin listener
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:9464",
        env = "ONRECORD_ADMIN",
        global = true
    )]
    pub url: String,
    /// How to tell it
    #[arg(long, value_name = "FORMAT", default_value = "text", global = true)]
    pub format: OutputFormat,
    /// Who asks.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Destinations {
    /// Every destination with its state, a line each
    List,
    /// All that is known of one
    Show(OneArgs),
    /// What became of one, newest first (role auditor)
    History(HistoryArgs),
    /// Write a probe object now and say what came of it (role operator)
    Probe(OneArgs),
    /// Try again at once, without waiting for the back-off to end (role operator)
    Retry(OneArgs),
    /// Deliver nothing more until it is resumed, restarts or not (role operator)
    Pause(OneArgs),
    /// Go on (role operator)
    Resume(OneArgs),
}

/// Which one.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// The destination's name
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// Which part of which history.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// The destination's name
    #[arg(value_name = "NAME")]
    pub name: String,
    /// At most so many entries, up to 1000
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub limit: usize,
    /// Only entries before this one: the `next` of the page before
    #[arg(long, value_name = "NUMBER")]
    pub before: Option<u64>,
}

/// Does it.
pub(super) fn run(args: &DestinationsArgs) -> ExitCode {
    match ask(args) {
        Ok(answer) => tell(args, &answer),
        Err(error) => {
            print_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn ask(args: &DestinationsArgs) -> Result<Value, GetError> {
    let base = format!("{}/api/v1/destinations", args.url.trim_end_matches('/'));
    let one = |one: &OneArgs| format!("{base}/{}", segment(&one.name));
    let act = |args: &OneArgs, act: &str| (Method::POST, format!("{}/{act}", one(args)));
    let (method, url) = match &args.command {
        Destinations::List => (Method::GET, base.clone()),
        Destinations::Show(args) => (Method::GET, one(args)),
        Destinations::History(HistoryArgs { name, limit, before }) => {
            let before = before.map(|before| format!("&before={before}")).unwrap_or_default();
            (Method::GET, format!("{base}/{}/history?limit={limit}{before}", segment(name)))
        }
        Destinations::Probe(args) => act(args, "probe"),
        Destinations::Retry(args) => act(args, "retry"),
        Destinations::Pause(args) => act(args, "pause"),
        Destinations::Resume(args) => act(args, "resume"),
    };
    let timeout = match &args.command {
        Destinations::Probe(_) => PROBE_TIMEOUT,
        _ => TIMEOUT,
    };
    let body = args.admin.call(method, &url, timeout)?;
    Ok(serde_json::from_slice(&body).unwrap_or_default())
}

/// A name as one segment of a path.
fn segment(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn tell(args: &DestinationsArgs, answer: &Value) -> ExitCode {
    if args.format == OutputFormat::Json {
        println!("{answer:#}");
    } else {
        match &args.command {
            Destinations::List => {
                answer["destinations"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .for_each(|one| println!("{}", line(one)));
            }
            Destinations::Show(_) => println!("{answer:#}"),
            Destinations::History(_) => {
                answer["entries"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .for_each(|entry| println!("{}", entry_line(entry)));
                if let Some(next) = answer["next"].as_u64() {
                    println!("more: --before {next}");
                }
            }
            Destinations::Probe(_) => print_probe(answer),
            _ => println!("{}: {} done", text(answer, "destination"), text(answer, "act")),
        }
    }
    // A probe that failed is an answer, and not a good one.
    if answer["works"] == false { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn line(one: &Value) -> String {
    let mut line = format!("{}: {}, {}", text(one, "name"), text(one, "state"), text(one, "place"));
    let batches = one["undelivered_batches"].as_u64().unwrap_or_default();
    if batches > 0 {
        line += &format!(
            ", {batches} batches wait, the oldest for {:.0} s",
            one["lag_seconds"].as_f64().unwrap_or_default()
        );
    }
    if !one["cause"].is_null() {
        line += &format!("\n  {}: {}\n  {}", text(one, "cause"), text(one, "words"), text(one, "mend"));
    }
    if let Some(loss) = one["first_loss_at"].as_str() {
        line += &format!("\n  the first loss would be at {loss}");
    }
    line
}

fn entry_line(entry: &Value) -> String {
    let mut line = format!("{} {}", text(entry, "time"), text(entry, "event"));
    for (key, value) in entry.as_object().into_iter().flatten() {
        match value {
            Value::Null => {}
            _ if ["number", "time", "event"].contains(&key.as_str()) => {}
            Value::String(text) => line += &format!(" {key}={text:?}"),
            value => line += &format!(" {key}={value}"),
        }
    }
    line
}

fn print_probe(answer: &Value) {
    let name = text(answer, "destination");
    if answer["works"] == true {
        let honours = match answer["honours_conditions"].as_bool() {
            Some(false) => "; but it replaces objects although it is asked not to",
            _ => "",
        };
        println!("{name}: takes objects{honours}");
    } else {
        println!("{name}: {}: {}\n  {}", text(answer, "cause"), text(answer, "words"), text(answer, "mend"));
    }
}
