//! A bucket of Amazon S3, or of a store with its API, and the way to it. Those who
//! write there and those who read there make their clients here.

mod client;
mod connector;
mod role;

pub use client::{ConnectError, connect};
pub use role::Role;

use crate::egress::Route;
use crate::secret::SecretRef;

/// A bucket and how it is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Its region; `None`: from the environment or the profile, and `us-east-1` where an endpoint is given.
    pub region: Option<String>,
    /// URL of a store other than Amazon's.
    pub endpoint: Option<String>,
    /// Whether the bucket stands in the path rather than in the host name.
    pub path_style: bool,
    /// The profile of the shared configuration files that credentials and region are taken from.
    pub profile: Option<String>,
    /// Credentials; `None`: those of the profile or of the default chain.
    pub keys: Option<AccessKey>,
    /// The role that is taken with those credentials; `None`: they are used themselves.
    pub role: Option<Role>,
    /// How it is reached.
    pub route: Route,
}

/// Where an access key is to be found. It is read whenever a client is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    /// The access key's id.
    pub id: KeyId,
    /// The secret that belongs to it.
    pub secret: SecretRef,
    /// The token of a temporary key.
    pub session_token: Option<SecretRef>,
}

/// The id of an access key, which is no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyId {
    /// Typed into the configuration.
    Plain(String),
    /// Found elsewhere.
    At(SecretRef),
}

impl Bucket {
    /// A bucket with the defaults of everything else.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// URLs of the store and of the token service that gives the role, as they are called in this
    /// region.
    #[must_use]
    pub fn urls(&self, region: &str) -> (String, Option<String>) {
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        // A name with dots fits no certificate of `*.s3.…`.
        let in_path = self.path_style || self.name.contains('.');
        let store = match &self.endpoint {
            Some(endpoint) => {
                let (scheme, host) = endpoint.split_once("://").unwrap_or(("https", endpoint));
                let bare = host.rsplit_once(':').map_or(host, |(bare, _)| bare);
                let is_ip = host.starts_with('[') || bare.parse::<std::net::Ipv4Addr>().is_ok();
                match in_path || is_ip {
                    true => endpoint.clone(),
                    false => format!("{scheme}://{}.{host}", self.name),
                }
            }
            None if in_path => format!("https://s3.{region}.{domain}"),
            None => format!("https://{}.s3.{region}.{domain}", self.name),
        };
        let amazons = || format!("https://sts.{region}.{domain}");
        (store, self.role.as_ref().map(|role| role.endpoint.clone().unwrap_or_else(amazons)))
    }

    /// Where it is, for people: no secrets.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("s3://{} at {endpoint}", self.name),
            None => format!("s3://{}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_those_that_the_library_calls() {
        let mut bucket = Bucket::new("audit");
        let store = |bucket: &Bucket, region: &str| bucket.urls(region).0;
        assert_eq!(store(&bucket, "eu-west-1"), "https://audit.s3.eu-west-1.amazonaws.com");
        assert_eq!(store(&bucket, "cn-north-1"), "https://audit.s3.cn-north-1.amazonaws.com.cn");
        assert_eq!(store(&Bucket::new("a.b"), "eu-west-1"), "https://s3.eu-west-1.amazonaws.com");
        bucket.endpoint = Some("http://s3.test:9000".into());
        assert_eq!(store(&bucket, "x"), "http://audit.s3.test:9000");
        bucket.endpoint = Some("http://127.0.0.1:9000".into());
        assert_eq!(store(&bucket, "x"), "http://127.0.0.1:9000");
        let role = |endpoint| Role { arn: "a".into(), external_id: None, session_name: "o".into(), endpoint };
        bucket.role = Some(role(None));
        assert_eq!(bucket.urls("eu-west-1").1.unwrap(), "https://sts.eu-west-1.amazonaws.com");
        bucket.role = Some(role(Some("http://sts.test".into())));
        assert_eq!(bucket.urls("eu-west-1").1.unwrap(), "http://sts.test");
    }
}
