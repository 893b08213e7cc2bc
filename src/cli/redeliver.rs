//! `onrecord redeliver`: copies batches from an archive to a destination, as they are.

use super::{BucketArgs, PlaceArgs, run, time};
use crate::app;
use crate::clock::Clock;
use crate::config::Config;
use crate::deliver::state::pause;
use crate::deliver::{Body, Created, Destination, DestinationOptions, Object, ObjectKind, PutError};
use crate::evidence::copying::{CopyBatch, CopyChain};
use crate::evidence::merkle;
use crate::evidence::store::EvidenceSource;
use clap::Args;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

type Error = Box<dyn std::error::Error>;

/// Attempts for each object.
const ATTEMPTS: u32 = 6;
/// Read at once.
const CHUNK: usize = 128 * 1024;

/// What `onrecord redeliver` takes.
#[derive(Debug, Args)]
pub struct RedeliverArgs {
    /// The configuration file, which says what the destination is
    #[arg(long, short, value_name = "FILE", default_value = "proxy.toml", env = "ONRECORD_CONFIG")]
    pub config: PathBuf,
    /// Where it goes
    #[arg(long, value_name = "NAME")]
    pub destination: String,
    /// Records from this time on, such as 2026-04-09T14:00:00Z or 2026-04-09
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub from: u64,
    /// And before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub to: u64,
    /// Where it is taken from: a folder, or s3://BUCKET/PREFIX
    #[arg(long, value_name = "PATH|URL", conflicts_with = "from_destination")]
    pub from_archive: Option<String>,
    /// Or another destination of the configuration, which can be read
    #[arg(long, value_name = "NAME")]
    pub from_destination: Option<String>,
    /// Whose chain [default: the destination's own if it is there, else the only one]
    #[arg(long, value_name = "DESTINATION")]
    pub chain: Option<String>,
    /// Say what would be copied, and copy nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How the archive is reached, if it is a bucket.
    #[command(flatten)]
    pub bucket: BucketArgs,
}

/// What was done.
#[derive(Debug, Default)]
struct Sums {
    batches: u64,
    created: u64,
    there: u64,
    records: u64,
    bytes: u64,
    missing: u64,
}

/// Copies what was asked for.
pub(super) fn redeliver(args: &RedeliverArgs) -> ExitCode {
    let config = match run::load(&args.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    match copy(args, &config) {
        Ok(sums) => {
            let verb = if args.dry_run { "would be copied" } else { "copied" };
            println!(
                "{} batches with {} records: {} objects and manifests {verb} ({} bytes), {} were there",
                sums.batches, sums.records, sums.created, sums.bytes, sums.there
            );
            match sums.missing {
                0 => ExitCode::SUCCESS,
                missing => {
                    eprintln!("onrecord: {missing} objects are missing or not what their manifest says");
                    ExitCode::FAILURE
                }
            }
        }
        Err(error) => {
            super::print_error(&*error);
            ExitCode::FAILURE
        }
    }
}

fn copy(args: &RedeliverArgs, config: &Config) -> Result<Sums, Error> {
    let target = config.destinations.iter().find(|known| known.name == args.destination);
    let target = target.ok_or_else(|| format!("there is no destination {}", args.destination))?;
    if args.from >= args.to {
        return Err("--from must be before --to".into());
    }
    let source = archive(args)?.open()?.source;
    let chains = choose(args, CopyChain::all(&*source)?)?;
    let mut copier = Copier {
        source: &*source,
        store: app::store(&target.store, &Clock::System),
        runtime: tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?,
        target,
        dry: args.dry_run,
        sums: Sums::default(),
    };
    for chain in chains {
        let mut bad = |what: String| eprintln!("onrecord: {what}");
        chain.batches(copier.source, args.from..args.to, &mut bad, &mut |batch| copier.batch(&batch))?;
    }
    Ok(copier.sums)
}

fn archive(args: &RedeliverArgs) -> Result<PlaceArgs, Error> {
    Ok(match (&args.from_archive, &args.from_destination) {
        (Some(path), _) => {
            PlaceArgs { path: Some(path.clone()), bucket: args.bucket.clone(), ..PlaceArgs::default() }
        }
        (None, Some(name)) if *name == args.destination => {
            return Err("--from-destination and --destination are the same".into());
        }
        (None, Some(name)) => PlaceArgs {
            config: Some(args.config.clone()),
            destination: Some(name.clone()),
            ..PlaceArgs::default()
        },
        (None, None) => return Err("say where from: --from-archive PATH or --from-destination NAME".into()),
    })
}

/// The chains of one destination: the one named, or else the target's own, or else the only one.
fn choose(args: &RedeliverArgs, all: Vec<CopyChain>) -> Result<Vec<CopyChain>, Error> {
    let of = |name: &str| all.iter().filter(|chain| chain.is_of(name)).cloned().collect::<Vec<_>>();
    let folders = || all.iter().map(|chain| chain.folder().to_owned()).collect::<Vec<_>>().join(", ");
    match &args.chain {
        Some(name) => match of(name) {
            found if found.is_empty() => {
                Err(format!("there is no chain of {name}, but {}", folders()).into())
            }
            found => Ok(found),
        },
        None => match (of(&args.destination), all.as_slice()) {
            (own, _) if !own.is_empty() => Ok(own),
            (_, []) => Err("there are no manifests there".into()),
            (_, [one]) => Ok(vec![one.clone()]),
            _ => Err(format!("there are several chains, name one with --chain: {}", folders()).into()),
        },
    }
}

struct Copier<'a> {
    source: &'a dyn EvidenceSource,
    store: std::sync::Arc<dyn Destination>,
    runtime: tokio::runtime::Runtime,
    target: &'a DestinationOptions,
    dry: bool,
    sums: Sums,
}

impl Copier<'_> {
    /// Objects before their manifest, as ever.
    fn batch(&mut self, batch: &CopyBatch) -> Result<(), Error> {
        self.sums.batches += 1;
        for entry in &batch.manifest.objects {
            let (path, bare) = batch.object(&entry.key);
            let Some(sha256) = merkle::unhex(&entry.sha256) else { continue };
            let Some(held) = self.hold(&path, sha256, entry.bytes)? else {
                eprintln!("onrecord: {path}: missing, or not what its manifest says");
                self.sums.missing += 1;
                continue;
            };
            let key = format!("{}{bare}", self.target.prefix);
            let (length, kind) = (entry.bytes, ObjectKind::Records);
            self.create(Object { key: &key, body: Body::File(&held.0), length, sha256, kind })?;
            self.sums.records += entry.records;
        }
        let key = format!("{}{}", self.target.prefix, batch.key);
        self.create(Object {
            key: &key,
            body: Body::Bytes(&batch.bytes),
            length: batch.bytes.len() as u64,
            sha256: merkle::sha256(&batch.bytes),
            kind: ObjectKind::Manifest,
        })
    }

    /// The object in a file of our own, if it is what it should be: what is sent must not change
    /// while it is sent.
    fn hold(&self, path: &str, sha256: merkle::Hash, length: u64) -> Result<Option<Held>, Error> {
        let Some(mut reader) = self.source.open(path)? else { return Ok(None) };
        let held = Held::new()?;
        let mut file = File::options().write(true).read(true).open(&held.0)?;
        let (mut buffer, mut all) =
            (vec![0; CHUNK], aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256));
        loop {
            let count = reader.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            all.update(&buffer[..count]);
            file.write_all(&buffer[..count])?;
        }
        let whole = file.stream_position()? == length && all.finish().as_ref() == sha256;
        Ok(whole.then_some(held))
    }

    fn create(&mut self, object: Object<'_>) -> Result<(), Error> {
        self.sums.bytes += object.length;
        if self.dry {
            self.sums.created += 1;
            return Ok(());
        }
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.runtime.block_on(self.store.create(object)) {
                Ok(Created::Created) => self.sums.created += 1,
                Ok(Created::AlreadyThere) => self.sums.there += 1,
                Err(PutError { cause, words, advice }) if attempt < ATTEMPTS => {
                    eprintln!("onrecord: {}: {words}; it is tried again", cause.as_str());
                    std::thread::sleep(pause(attempt, advice, 1.0));
                    continue;
                }
                Err(error) => {
                    return Err(format!("{}: {error}. {}", object.key, error.cause.mend()).into());
                }
            }
            return Ok(());
        }
    }
}

/// A temporary file, gone with this.
struct Held(PathBuf);

impl Held {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("onrecord-redeliver-{}", uuid::Uuid::now_v7()));
        use std::os::unix::fs::OpenOptionsExt as _;
        File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // A folder of temporary files is tidied by others too.
        let _ = std::fs::remove_file(&self.0);
    }
}
