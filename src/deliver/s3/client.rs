//! The client of one bucket, made of options, environment and shared files.

use super::options::{KeyId, S3Keys, S3Options};
use crate::clock::Clock;
use crate::deliver::destination::{Cause, PutError};
use crate::error_chain::Chain;
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
    SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_async::time::TimeSource;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use std::time::{Duration, SystemTime};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes a client: reads keys, profiles and the environment as they are now.
pub(super) async fn connect(options: &S3Options, clock: &Clock) -> Result<Client, PutError> {
    let version = BehaviorVersion::v2026_01_12();
    let http = http_client();
    let providers = ProviderConfig::without_region()
        .with_http_client(http.clone())
        .with_time_source(Time(clock.clone()))
        .with_behavior_version(Some(version));
    let mut loader = aws_config::defaults(version)
        .http_client(http)
        .time_source(Time(clock.clone()))
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // The hash is known already; a store that has never heard of checksums shall work too.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .region(regions(options, &providers));
    if let Some(profile) = &options.profile {
        // A profile that is named counts for more than what the environment happens to hold.
        let provider =
            ProfileFileCredentialsProvider::builder().configure(&providers).profile_name(profile).build();
        loader = loader.profile_name(profile).credentials_provider(provider);
    }
    if let Some(keys) = &options.keys {
        loader = loader.credentials_provider(
            credentials(keys)
                .map_err(|error| PutError::new(Cause::Credentials, Chain(&error).to_string()))?,
        );
    }
    let shared = loader.load().await;
    if shared.region().is_none() {
        let words = "no region is set: not in the configuration, the environment or the profile";
        return Err(PutError::new(Cause::WrongRegion, words));
    }
    let mut config = aws_sdk_s3::config::Builder::from(&shared).force_path_style(options.path_style);
    if let Some(endpoint) = &options.endpoint {
        config = config.endpoint_url(endpoint);
    }
    Ok(Client::from_conf(config.build()))
}

fn regions(options: &S3Options, providers: &ProviderConfig) -> RegionProviderChain {
    let mut file = ProfileFileRegionProvider::builder().configure(providers);
    if let Some(profile) = &options.profile {
        file = file.profile_name(profile);
    }
    let chain = RegionProviderChain::first_try(options.region.clone().map(Region::new))
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(file.build());
    if options.endpoint.is_some() {
        // Elsewhere than at Amazon there is no machine service to ask, and most stores have one region.
        return chain.or_else(Region::from_static("us-east-1"));
    }
    chain.or_else(ImdsRegionProvider::builder().configure(providers).build())
}

fn credentials(keys: &S3Keys) -> Result<Credentials, SecretError> {
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

/// HTTP by hyper, TLS by rustls with aws-lc-rs, proxies as the environment names them.
fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector =
            aws_smithy_http_client::Connector::builder().proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build()
    })
}

/// The gateway's clock, for signatures.
#[derive(Debug)]
struct Time(Clock);

impl TimeSource for Time {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(self.0.unix_microseconds())
    }
}
