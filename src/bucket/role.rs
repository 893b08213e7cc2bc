//! A role that is taken before the bucket is asked: temporary credentials of the Security Token
//! Service (AssumeRole).
//!
//! The bucket's owner makes the role, lets it do no more than create objects, and says in its trust
//! policy who may take it, and by which external id. The gateway's own credentials need nothing
//! but `sts:AssumeRole`.

use aws_config::SdkConfig;
use aws_config::sts::AssumeRoleProvider;

/// A role, and how it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its Amazon Resource Name.
    pub arn: String,
    /// What the role's owner wants to be told by whoever takes it, which is no secret.
    pub external_id: Option<String>,
    /// The name of the sessions, as the owner's own logs show it.
    pub session_name: String,
    /// URL of the token service; `None`: Amazon's of the region.
    pub endpoint: Option<String>,
}

impl Role {
    /// The name of sessions, unless it is set otherwise.
    pub const SESSION_NAME: &str = "onrecord";

    /// The credentials of the role, asked for with those of `shared` and again before they run out.
    pub(super) async fn provider(&self, shared: &SdkConfig) -> AssumeRoleProvider {
        let mut config = shared.to_builder();
        if let Some(endpoint) = &self.endpoint {
            config = config.endpoint_url(endpoint);
        }
        let mut role = AssumeRoleProvider::builder(&self.arn).session_name(&self.session_name);
        if let Some(id) = &self.external_id {
            role = role.external_id(id);
        }
        role.configure(&config.build()).build().await
    }
}
