//! The client of one bucket, made of options, environment and shared files.

use super::connector::http_client;
use super::{AccessKey, Bucket, KeyId};
use crate::clock::Clock;
use crate::egress::CallError;
use crate::secret::{SecretError, SecretRef};
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};
use aws_smithy_async::time::TimeSource;
use std::time::{Duration, SystemTime};
use thiserror::Error;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An attempt of the library that is not answered for so long is made again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The answer of a token or metadata service has at most this many bytes.
const MOST_BYTES: usize = 64 * 1024;

/// Why there is no client.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The access key that is named can't be had.
    #[error(transparent)]
    Key(#[from] SecretError),
    /// The way to the store can't be prepared.
    #[error(transparent)]
    Egress(#[from] CallError),
    /// Nobody says which region.
    #[error("no region is set: not in the configuration, the environment or the profile")]
    NoRegion,
}

/// Makes a client: reads keys, profiles and the environment as they are now. `clock` is
/// that of the signatures. The library makes `attempts` of each request, at least 1.
///
/// # Errors
/// [`ConnectError`]; nothing is sent to the bucket here.
pub async fn connect(bucket: &Bucket, clock: &Clock, attempts: u32) -> Result<Client, ConnectError> {
    let version = BehaviorVersion::v2026_01_12();
    let http = http_client(&bucket.route, None)?;
    // Credentials are small, whoever gives them.
    let services = http_client(&bucket.route, Some(MOST_BYTES))?;
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT);
    // Who makes only one attempt has a deadline of his own.
    let timeouts = if attempts > 1 { timeouts.read_timeout(ANSWER_TIMEOUT) } else { timeouts };
    let providers = ProviderConfig::without_region()
        .with_http_client(services.clone())
        .with_time_source(Time(clock.clone()))
        .with_behavior_version(Some(version));
    let region = regions(bucket, &providers).region().await.ok_or(ConnectError::NoRegion)?;
    // The token service that gives a profile's role is asked in this region too.
    let providers = providers.with_region(Some(region.clone()));
    let mut loader = aws_config::defaults(version)
        .http_client(services)
        .time_source(Time(clock.clone()))
        .retry_config(match attempts {
            0 | 1 => RetryConfig::disabled(),
            _ => RetryConfig::standard().with_max_attempts(attempts),
        })
        .timeout_config(timeouts.build())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // The hash is known already; a store that has never heard of checksums shall work too.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .region(region);
    if let Some(profile) = &bucket.profile {
        // A profile that is named counts for more than what the environment happens to hold.
        let provider =
            ProfileFileCredentialsProvider::builder().configure(&providers).profile_name(profile).build();
        loader = loader.profile_name(profile).credentials_provider(provider);
    }
    if let Some(keys) = &bucket.keys {
        loader = loader.credentials_provider(credentials(keys)?);
    }
    let shared = loader.load().await;
    let mut config =
        aws_sdk_s3::config::Builder::from(&shared).http_client(http).force_path_style(bucket.path_style);
    if let Some(role) = &bucket.role {
        config = config.credentials_provider(Box::pin(role.provider(&shared)).await);
    }
    if let Some(endpoint) = &bucket.endpoint {
        config = config.endpoint_url(endpoint);
    }
    Ok(Client::from_conf(config.build()))
}

fn regions(bucket: &Bucket, providers: &ProviderConfig) -> RegionProviderChain {
    let mut file = ProfileFileRegionProvider::builder().configure(providers);
    if let Some(profile) = &bucket.profile {
        file = file.profile_name(profile);
    }
    let chain = RegionProviderChain::first_try(bucket.region.clone().map(Region::new))
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(file.build());
    if bucket.endpoint.is_some() {
        // Elsewhere than at Amazon there is no machine service to ask, and most stores have one region.
        return chain.or_else(Region::from_static("us-east-1"));
    }
    chain.or_else(ImdsRegionProvider::builder().configure(providers).build())
}

fn credentials(keys: &AccessKey) -> Result<Credentials, SecretError> {
    let id = match &keys.id {
        KeyId::Plain(id) => id.clone(),
        KeyId::At(place) => text(place)?,
    };
    let token = keys.session_token.as_ref().map(text).transpose()?;
    Ok(Credentials::new(id, text(&keys.secret)?, token, None, "onrecord"))
}

fn text(place: &SecretRef) -> Result<String, SecretError> {
    Ok(String::from_utf8_lossy(place.resolve()?.expose()).trim().to_owned())
}

/// The gateway's clock, for signatures.
#[derive(Debug)]
struct Time(Clock);

impl TimeSource for Time {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(self.0.unix_microseconds())
    }
}
