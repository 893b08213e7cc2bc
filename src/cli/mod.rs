//! The command line, and the only place that prints.
//!
//! Exit codes: 0 done; 1 failed; 2 the command line was not understood; 78 the
//! configuration has problems (so that a supervisor need not try again).

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is where the program speaks")]

mod account;
mod admin_call;
mod check;
mod convert;
pub mod demo;
mod destinations;
mod egress;
mod encrypt_secret;
mod fingerprint;
mod health;
mod keygen;
pub mod log;
mod notify;
mod place;
mod progress;
mod prove;
mod redeliver;
mod routes;
pub mod run;
pub mod sample;
mod schema;
mod setup;
mod signals;
mod token;
pub mod traffic;
mod typed;
mod verify;

pub use admin_call::AdminArgs;
pub use convert::{ConvertArgs, To};
pub use destinations::{Destinations, DestinationsArgs, HistoryArgs, OneArgs};
pub use egress::EgressArgs;
pub use encrypt_secret::EncryptSecretArgs;
pub use keygen::KeygenArgs;
pub use place::{BucketArgs, PlaceArgs};
pub use prove::ProveArgs;
pub use redeliver::RedeliverArgs;
pub use schema::{Of, Reader, SchemaArgs};
pub use setup::{SetupArgs, SetupCommand};
pub use token::TokenArgs;

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// The exit code for a configuration with problems (`EX_CONFIG`).
pub const EXIT_CONFIG: u8 = 78;

const EXAMPLES: &str = "\
Examples:
  onrecord demo                        try it: a sample API, the gateway, objects in ./onrecord-demo
  onrecord check --config proxy.toml   tell all mistakes of a file at once
  onrecord run --config proxy.toml     run the gateway until SIGTERM
  onrecord account objects             account for each record taken, from the manifests
  onrecord destinations list           where records go, and whether they arrive
  onrecord redeliver --destination lake --from 2026-04-01 --to 2026-04-02 --from-archive objects
  onrecord setup aws --external-id ID  what a bucket needs at its cloud (aws, azure, gcp), ready to paste
  onrecord egress                      where it connects to, for allow-lists
  onrecord encrypt-secret --key k.pem  a secret that can stand in the configuration
  onrecord notify test                 do notices arrive?
  onrecord token --name ann --role operator   let somebody in at the admin listener
  onrecord health                      is the gateway of this machine ready? exit code 0 or 1
  onrecord routes test GET /users/me   which route does a request take, and why?
  onrecord sample                      an API to put the gateway before, when there is none at hand
  onrecord verify objects --key k.pub  has anything been changed or removed since?
  onrecord prove objects --id ID       the proof of one record, as a small file
  onrecord schema flat --format duckdb what a reader needs to know of a format
  onrecord convert objects --to ocsf   make another format of delivered objects
  onrecord keygen --out signing.key    make the key that signs manifests
  onrecord fingerprint                 whose credential is it? its name for the directory

Exit codes:
  0   done
  1   failed; the reason is on standard error. verify: something was found
  2   the command line was not understood. verify: something can't be read
  78  the configuration has problems";

/// Onrecord puts every API request on the record.
///
/// It stands between clients and an HTTP API, passes requests on, and writes one
/// record a request: who did what, when, with what result. Records leave as
/// compressed NDJSON objects, partitioned by source, organization and day, with
/// signed manifests that account for each record taken.
#[derive(Debug, Parser)]
#[command(name = "onrecord", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway
    ///
    /// SIGTERM or SIGINT: stop accepting, let requests end (server.grace), deliver
    /// what is there (server.flush), exit 0. A second signal, half a second later or more,
    /// ends at once; what was captured is delivered after the next start. SIGHUP:
    /// read the file again and change what can change live.
    Run(RunArgs),
    /// Tell what is wrong with a configuration file, without running it
    ///
    /// All mistakes are told at once, each with its line, key and a hint. Nothing
    /// that the file names is opened, made or listened to. Warnings tell what is
    /// allowed but seldom meant, such as a secret that is not there yet.
    Check(CheckArgs),
    /// Try it out: a sample API behind a gateway, with a little traffic
    ///
    /// Starts a small sample content API (in memory, clearly marked), the gateway in
    /// front of it, the admin listener, and a folder as destination; prints where to
    /// send a request and where its record will be seconds later. Stop it with Ctrl-C.
    Demo(DemoArgs),
    /// Add up what manifests and a running gateway say of each record taken
    ///
    /// For each instance, boot and destination the law is: taken = delivered +
    /// filtered + declared + open + in the spool. Manifests alone account for what
    /// has left; with the status of a running gateway the rest is counted too.
    Account(AccountArgs),
    /// See and control the destinations of a running gateway
    ///
    /// `list` and `show` tell how they are, `history` what became of them. `probe` finds
    /// out whether a store takes objects, `retry` does not wait for the back-off to end,
    /// `pause` and `resume` hold over restarts. Where `[admin]` tokens are configured, one
    /// is needed; to change something always.
    Destinations(DestinationsArgs),
    /// Copy what a time brought to a destination again, from an archive
    ///
    /// Copies batches, objects and manifests of one chain, byte for byte from a folder, a
    /// bucket or another destination. Objects are checked against their manifests and created,
    /// never replaced: what is there already stays, and doing it twice does no harm. Needs no
    /// running gateway. Exit code 1: something was missing, or could not be created.
    Redeliver(RedeliverArgs),
    /// Print what has to be set up at a cloud, ready to paste
    ///
    /// For a configured bucket: the role, who may take it (with an external id), the policy
    /// that lets it create objects below the prefix and nothing else, and the rule that tidies
    /// up after broken uploads. Nothing is asked of the cloud, and nothing changed there.
    #[command(subcommand)]
    Setup(SetupCommand),
    /// List where the gateway connects to, for allow-lists
    ///
    /// Each destination, upstream, token service and channel for notices: host, port,
    /// protocol, the proxy between and this machine's address, as far as they are set. The
    /// environment counts as it is here. Nothing is connected to.
    Egress(EgressArgs),
    /// Encrypt a secret, so that it can stand in the configuration
    ///
    /// Reads the secret from standard input, or typed without being shown, and prints it
    /// in Base64, encrypted (RSA-OAEP, SHA-256) to the public half of the key that
    /// `[secrets] key` names.
    EncryptSecret(EncryptSecretArgs),
    /// Try whether notices arrive
    ///
    /// `onrecord notify test` sends a test by each channel of `[notify]`, once, and says what
    /// became of it. It needs no running gateway.
    #[command(subcommand)]
    Notify(NotifyCommand),
    /// Make a token for the admin listener
    ///
    /// Prints the token, and on standard error the line for `[admin]` tokens that lets it
    /// in; with --out the token goes to a file (0600) and the line to standard output.
    /// The configuration knows nothing but its hash: keep the token, it can't be shown
    /// again.
    Token(TokenArgs),
    /// Ask a running gateway whether it is ready, for containers and supervisors
    ///
    /// Exit code 0: it takes requests and records them. Exit code 1: it does not, and
    /// each reason is on standard error; or nothing answered in time.
    Health(HealthArgs),
    /// List routes, explain which one a request takes, or import them from OpenAPI
    ///
    /// A route says what a request means: its resource, its action, its category. They
    /// come from catalogues: presets, or files of your own in JSON or TOML.
    #[command(subcommand)]
    Routes(routes::Routes),
    /// Run the sample content API of the demo alone, to try a gateway before it
    ///
    /// A few content-management routes, in memory: what is written is gone when it
    /// ends. Each request needs some Authorization header, and each answer carries
    /// `X-Sample: onrecord-demo`. Not for anything but trying.
    Sample(SampleArgs),
    /// Find out whether what was delivered is whole and unchanged
    ///
    /// Reads a bucket or a folder of objects (a copy of a bucket will do) with its
    /// manifests, and gives two verdicts. Integrity: each object is byte for byte what was signed, the
    /// chains are whole, signatures hold, nothing foreign lies there. Completeness: each
    /// sequence of each boot is delivered, declared lost with a cause, or still awaited.
    /// Names each finding. Exit code 0: nothing found; 1: something found; 2: something
    /// can't be read.
    Verify(VerifyArgs),
    /// Write the proof of one record
    ///
    /// The record's line, its path to the signed root of its object, and the signed
    /// manifests, as one small file that `onrecord verify --proof FILE` checks without
    /// the bucket.
    Prove(ProveArgs),
    /// Print what a reader needs to know of a format
    ///
    /// As JSON Schema of one row, or as a statement for DuckDB, Amazon Athena or
    /// ClickHouse, in which OBJECTS, BUCKET and PREFIX stand for where the objects are.
    Schema(SchemaArgs),
    /// Make another format of delivered flat objects
    ///
    /// Reads one object, or all below a folder, in the order of their names, and writes
    /// one file. What a flat record does not say (the log source) comes from the folders.
    Convert(ConvertArgs),
    /// Make the key that signs manifests, or show the public half of one
    ///
    /// Makes an Ed25519 key (PEM, PKCS#8) and prints its public half, the line to hand
    /// to whoever verifies. A file that is there is never replaced; without --out the
    /// key itself goes to standard output and the public half to standard error.
    Keygen(KeygenArgs),
    /// Compute a credential's fingerprint, as in `actor.credential.id`
    ///
    /// For the directory of actors, and to find what a credential did. The credential is
    /// read from standard input, or typed without being shown: a token, an API key, or a
    /// whole Authorization value. Uses the key that the configuration names, or the one
    /// that the gateway has made in its spool. It is never written anywhere.
    Fingerprint(FingerprintArgs),
}

/// What `onrecord fingerprint` takes.
#[derive(Debug, Args)]
pub struct FingerprintArgs {
    /// The configuration file of the gateway
    #[arg(long, short, value_name = "FILE", default_value = "proxy.toml", env = "ONRECORD_CONFIG")]
    pub config: PathBuf,
}

/// What `onrecord run` takes.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", default_value = "proxy.toml", env = "ONRECORD_CONFIG")]
    pub config: PathBuf,
}

/// What `onrecord check` takes.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", default_value = "proxy.toml", env = "ONRECORD_CONFIG")]
    pub config: PathBuf,
}

/// What `onrecord demo` takes.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where objects and the spool go
    #[arg(long, value_name = "DIR", default_value = "onrecord-demo")]
    pub dir: PathBuf,
    /// Send no traffic; records come of your own requests alone
    #[arg(long)]
    pub no_traffic: bool,
    /// Where the gateway listens [default: 127.0.0.1:8080, or a free port if that is taken]
    #[arg(long, value_name = "ADDR")]
    pub gateway_listen: Option<SocketAddr>,
    /// Where the admin listener is, on loopback [default: 127.0.0.1:9464, or a free port if that is taken]
    #[arg(long, value_name = "ADDR")]
    pub admin_listen: Option<SocketAddr>,
}

/// What `onrecord account` takes.
#[derive(Debug, Args)]
pub struct AccountArgs {
    /// Where the objects are
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The admin listener of the running gateway, such as http://127.0.0.1:9464
    #[arg(long, value_name = "URL")]
    pub status: Option<String>,
    /// Who asks there.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// What `onrecord notify` does.
#[derive(Debug, Subcommand)]
pub enum NotifyCommand {
    /// Send a test by each channel
    Test(NotifyTestArgs),
}

/// What `onrecord notify test` takes.
#[derive(Debug, Args)]
pub struct NotifyTestArgs {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", default_value = "proxy.toml", env = "ONRECORD_CONFIG")]
    pub config: PathBuf,
}

/// What `onrecord health` takes.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// The gateway's admin listener
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9464")]
    pub url: String,
    /// Ask only whether the process is alive, not whether it is ready
    #[arg(long)]
    pub live: bool,
    /// For the whole answer, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 2_000)]
    pub timeout: u64,
    /// Who asks.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// What `onrecord sample` takes.
#[derive(Debug, Args)]
pub struct SampleArgs {
    /// Where it listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9000")]
    pub listen: SocketAddr,
}

/// What `onrecord verify` takes.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Where the objects are
    #[command(flatten)]
    pub place: PlaceArgs,
    /// A proof to check instead of a folder
    #[arg(long, value_name = "FILE")]
    pub proof: Option<PathBuf>,
    /// A public key that you trust, or a file with one a line; can be given several times
    #[arg(long, value_name = "FILE|KEY")]
    pub key: Vec<String>,
    /// The file that heads of chains were anchored in
    #[arg(long, value_name = "FILE", conflicts_with = "proof")]
    pub anchor: Option<PathBuf>,
    /// Judge as of this time, such as 2026-04-09T14:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "proof")]
    pub at: Option<u64>,
    /// Look at each record too: its place, its sequence, its hash
    #[arg(long, conflicts_with = "proof")]
    pub deep: bool,
    /// How to tell the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: OutputFormat,
    /// Threads that read objects [default: one a processor; 16 for a bucket]
    #[arg(long, value_name = "COUNT", conflicts_with = "proof")]
    pub threads: Option<usize>,
}

/// How a result is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// A time in RFC 3339, or a day, as Unix microseconds.
fn time(text: &str) -> Result<u64, String> {
    let day = format!("{text}T00:00:00Z");
    let time = text.parse::<jiff::Timestamp>().or_else(|error| day.parse().map_err(|_| error));
    let time = time.map_err(|error| error.to_string())?;
    u64::try_from(time.as_microsecond()).map_err(|_| "must not be before 1970".to_owned())
}

/// Reads the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    execute(Cli::parse())
}

/// Does what a command line says.
#[must_use]
pub fn execute(cli: Cli) -> ExitCode {
    match cli.command {
        Command::Check(args) => check::check(&args),
        Command::Run(args) => run::run(&args),
        Command::Demo(args) => demo::demo(&args),
        Command::Account(args) => account::run(&args),
        Command::Destinations(args) => destinations::run(&args),
        Command::Redeliver(args) => redeliver::redeliver(&args),
        Command::Setup(command) => setup::run_setup(&command),
        Command::Egress(args) => egress::list(&args),
        Command::EncryptSecret(args) => encrypt_secret::run(&args),
        Command::Notify(command) => notify::run(&command),
        Command::Token(args) => token::run(&args),
        Command::Health(args) => health::health(&args),
        Command::Routes(command) => routes::run(&command),
        Command::Sample(args) => sample::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Prove(args) => prove::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Keygen(args) => keygen::run(&args),
        Command::Fingerprint(args) => fingerprint::run(&args),
    }
}

/// Prints an error with all that is behind it.
pub fn print_error(error: &dyn std::error::Error) {
    eprintln!("onrecord: {}", crate::error_chain::Chain(error));
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed_and_each_command_teaches() {
        Cli::command().debug_assert();
        for command in Cli::command().get_subcommands() {
            assert!(
                command.get_about().is_some() && command.get_long_about().is_some(),
                "{}",
                command.get_name()
            );
        }
        let help = Cli::command().render_long_help().to_string();
        for command in Cli::command().get_subcommands() {
            assert!(
                help.contains(&format!("onrecord {}", command.get_name())),
                "no example of {}",
                command.get_name()
            );
        }
    }

    #[test]
    fn commands_take_the_documented_flags() {
        for line in [
            "onrecord run --config proxy.toml",
            "onrecord check --config proxy.toml",
            "onrecord demo --dir d --no-traffic --gateway-listen 127.0.0.1:1 --admin-listen 127.0.0.1:2",
            "onrecord account objects --status http://127.0.0.1:9464",
            "onrecord health --url http://127.0.0.1:9464 --live --timeout 500",
            "onrecord health --token-file t --ca ca.pem",
            "onrecord destinations list --url https://gw:9464 --ca ca.pem --token-file t --format json",
            "onrecord destinations show main",
            "onrecord destinations history main --limit 10 --before 7",
            "onrecord destinations probe main",
            "onrecord destinations pause main --format json",
            "onrecord redeliver --destination d --from 2026-04-01 --to 2026-04-02T00:00:00Z --from-archive s3://b --chain c --dry-run",
            "onrecord setup aws --config proxy.toml --destination d --principal arn:aws:iam::1:root --external-id i",
            "onrecord egress --config proxy.toml --resolve --format json",
            "onrecord encrypt-secret --key public.pem",
            "onrecord notify test --config proxy.toml",
            "onrecord token --name ann --role operator --out t",
            "onrecord routes list --config proxy.toml --source cma --format json",
            "onrecord routes list --catalogue microcms --api-host blog.microcms.io",
            "onrecord routes test PUT /a --header X-A:b --catalogue own.toml",
            "onrecord routes import openapi.yaml --name pets --out pets.json",
            "onrecord sample --listen 127.0.0.1:9000",
            "onrecord verify objects --key k.pub --anchor a --at 2026-04-09T14:00:00Z --deep --format json",
            "onrecord verify --proof p.json --key onrecord+1+2",
            "onrecord verify s3://audit/logs --endpoint http://127.0.0.1:8333 --region us-east-1 --path-style",
            "onrecord account s3://audit --profile reader",
            "onrecord verify --config proxy.toml --destination archive",
            "onrecord prove objects --id 019a0000-0000-7000-8000-000000000000 --out p.json",
            "onrecord schema ocsf --format athena --version 1.3.0 --class web_resources_activity",
            "onrecord convert objects --to parquet --out records.parquet",
            "onrecord keygen --out signing.key --name onrecord/gw-1",
            "onrecord keygen --public --key signing.key",
            "onrecord fingerprint --config proxy.toml",
        ] {
            Cli::try_parse_from(line.split(' ')).unwrap();
        }
        assert!(Cli::try_parse_from(["onrecord", "demo", "--gateway-listen", "localhost"]).is_err());
        assert!(Cli::try_parse_from(["onrecord", "fly"]).is_err());
        assert!(Cli::try_parse_from(["onrecord", "verify", "objects", "--config", "proxy.toml"]).is_err());
        assert!(Cli::try_parse_from(["onrecord", "verify", "objects", "--at", "yesterday"]).is_err());
        assert_eq!(time("1970-01-02"), Ok(86_400_000_000));
    }
}
