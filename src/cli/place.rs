//! Where delivered objects lie: a folder, a bucket, or a destination of a configuration.

use crate::bucket::Bucket;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::deliver::Store;
use crate::evidence::keys::{KEY_FILE, SigningKey};
use crate::evidence::note::Verifier;
use crate::evidence::store::{BucketSource, DirSource, EvidenceSource};
use clap::Args;
use std::path::{Path, PathBuf};

type Error = Box<dyn std::error::Error>;

/// The options that say how a bucket is reached.
#[derive(Clone, Debug, Default, Args)]
pub struct BucketArgs {
    /// For a bucket: the URL of a store other than Amazon's
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// For a bucket: its region [default: from the environment or the profile]
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// For a bucket: the profile of the shared configuration files to take credentials from
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// For a bucket: its name stands in the path, not in the host name
    #[arg(long)]
    pub path_style: bool,
}

/// The options that say where objects are.
#[derive(Debug, Default, Args)]
pub struct PlaceArgs {
    /// A folder of objects with its `_manifests`, or s3://BUCKET/PREFIX
    #[arg(value_name = "PATH|URL")]
    pub path: Option<String>,
    /// How it is reached, if it is a bucket.
    #[command(flatten)]
    pub bucket: BucketArgs,
    /// Take place, key and anchor from this configuration file, instead of a PATH
    #[arg(long, value_name = "FILE", conflicts_with = "path")]
    pub config: Option<PathBuf>,
    /// The destination of that file; not needed where it has only one
    #[arg(long, value_name = "NAME", requires = "config")]
    pub destination: Option<String>,
}

/// A place that can be read, and what a configuration says of it.
pub(super) struct Place {
    pub(super) source: Box<dyn EvidenceSource>,
    /// The public half of the configured signing key, where it is to be had.
    pub(super) key: Option<Verifier>,
    /// The anchor that is configured.
    pub(super) anchor: Option<PathBuf>,
}

impl PlaceArgs {
    /// Whether a place is named at all.
    pub(super) fn is_given(&self) -> bool {
        self.path.is_some() || self.config.is_some()
    }

    /// The way to it.
    pub(super) fn open(&self) -> Result<Place, Error> {
        if let Some(file) = &self.config {
            return self.configured(file);
        }
        let path = self.path.as_deref().ok_or("a PATH, s3://BUCKET/PREFIX or --config FILE is needed")?;
        Ok(Place { source: self.source(path)?, key: None, anchor: None })
    }

    /// The way to what a path or URL names.
    pub(super) fn source(&self, path: &str) -> Result<Box<dyn EvidenceSource>, Error> {
        let Some((scheme, rest)) = path.split_once("://") else {
            if self.bucket.is_given() {
                return Err(format!(
                    "--endpoint, --region, --profile and --path-style are for buckets; {path} is a folder"
                )
                .into());
            }
            return Ok(Box::new(DirSource::new(Path::new(path))));
        };
        if scheme != "s3" {
            return Err(format!("{scheme}:// can't be read; a folder and s3://BUCKET/PREFIX can").into());
        }
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if name.is_empty() {
            return Err(format!("{path} names no bucket; write s3://BUCKET/PREFIX").into());
        }
        self.bucket.open(Bucket::new(name), prefix)
    }

    fn configured(&self, file: &Path) -> Result<Place, Error> {
        let config = config::load(file)?;
        let named = |name: &str| config.destinations.iter().find(|known| known.name == name);
        let destination = match (&self.destination, config.destinations.as_slice()) {
            (Some(name), _) => named(name).ok_or_else(|| {
                let names: Vec<&str> = config.destinations.iter().map(|known| known.name.as_str()).collect();
                format!("{} has no destination {name}; it has {}", file.display(), names.join(", "))
            })?,
            (None, [one]) => one,
            (None, _) => {
                return Err(format!(
                    "{} has several destinations; name one with --destination",
                    file.display()
                )
                .into());
            }
        };
        let source: Box<dyn EvidenceSource> = match &destination.store {
            Store::Dir(options) => Box::new(DirSource::new(&options.path.join(&destination.prefix))),
            Store::S3(options) => self.bucket.open(options.bucket.clone(), &destination.prefix)?,
            Store::Azure(_) | Store::Gcs(_) | Store::Nats(_) => {
                let why = "is of a type that can't be read from here; copy its objects to a folder first";
                return Err(format!("destination {} {why}", destination.name).into());
            }
        };
        Ok(Place { source, key: configured_key(&config)?, anchor: config.evidence.anchor.clone() })
    }
}

impl BucketArgs {
    fn is_given(&self) -> bool {
        self.endpoint.is_some() || self.region.is_some() || self.profile.is_some() || self.path_style
    }

    /// What is given here counts for more than what `bucket` says already.
    fn open(&self, mut bucket: Bucket, prefix: &str) -> Result<Box<dyn EvidenceSource>, Error> {
        if let Some(profile) = &self.profile {
            bucket.profile = Some(profile.clone());
            bucket.keys = None;
        }
        bucket.endpoint = self.endpoint.clone().or(bucket.endpoint);
        bucket.region = self.region.clone().or(bucket.region);
        bucket.path_style |= self.path_style;
        Ok(Box::new(BucketSource::open(&bucket, prefix, &Clock::System)?))
    }
}

/// The public half of the key that signs by this configuration; `None` where one is made in
/// the spool folder and can't be read from here.
fn configured_key(config: &Config) -> Result<Option<Verifier>, Error> {
    let key = match &config.evidence.key {
        Some(place) => {
            let error = |why: String| format!("[evidence] key: {why}; give the public half with --key");
            let secret = place.resolve().map_err(|why| error(crate::error_chain::Chain(&why).to_string()))?;
            Some(SigningKey::read(&secret).map_err(|why| error(why.to_string()))?)
        }
        None => SigningKey::load(&config.spool.dir.join("keys").join(KEY_FILE)).ok().flatten(),
    };
    // A key counts under any name: this one is only shown.
    let name = config.evidence.name.clone().unwrap_or_else(|| "onrecord".to_owned());
    Ok(key.map(|key| Verifier::new(&name, key.public())))
}
