//! What an operator can choose of OCSF.

/// A version of the schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// 1.3.0
    V1_3,
    /// 1.8.0
    #[default]
    V1_8,
}

/// An event class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Class {
    /// API Activity (6003).
    #[default]
    ApiActivity,
    /// Web Resources Activity (6001).
    WebResourcesActivity,
}

/// Profiles, each of which adds attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Profiles {
    /// `cloud`: whose API it is.
    pub cloud: bool,
    /// `datetime`: times as text beside the numbers.
    pub datetime: bool,
    /// `host`: in 6001, the actor.
    pub host: bool,
    /// `security_control`: whether the gateway let the request through.
    pub security_control: bool,
}

/// Which OCSF events a destination gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OcsfOptions {
    /// The version.
    pub version: Version,
    /// The class.
    pub class: Class,
    /// The profiles.
    pub profiles: Profiles,
}

impl Version {
    /// As it stands in events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_3 => "1.3.0",
            Self::V1_8 => "1.8.0",
        }
    }
}

impl Class {
    /// `class_uid`.
    #[must_use]
    pub const fn uid(self) -> u64 {
        match self {
            Self::ApiActivity => 6003,
            Self::WebResourcesActivity => 6001,
        }
    }

    /// `class_name`.
    #[must_use]
    pub const fn caption(self) -> &'static str {
        match self {
            Self::ApiActivity => "API Activity",
            Self::WebResourcesActivity => "Web Resources Activity",
        }
    }
}

impl Profiles {
    /// The names of those that are chosen, in order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let all = [
            (self.cloud, "cloud"),
            (self.datetime, "datetime"),
            (self.host, "host"),
            (self.security_control, "security_control"),
        ];
        all.into_iter().filter_map(|(chosen, name)| chosen.then_some(name))
    }
}

impl OcsfOptions {
    /// A chosen profile that this class does not have at this version.
    #[must_use]
    pub fn foreign_profile(&self) -> Option<&'static str> {
        let lacks = self.version == Version::V1_3 && self.class == Class::ApiActivity;
        self.profiles.names().find(|name| lacks && matches!(*name, "host" | "security_control"))
    }

    /// Whether the actor has its own attribute.
    pub(in crate::format) fn has_actor(&self) -> bool {
        self.class == Class::ApiActivity || self.profiles.host
    }

    /// Whether `api` is an attribute.
    pub(in crate::format) fn has_api(&self) -> bool {
        self.class == Class::ApiActivity || self.profiles.cloud
    }

    /// Whether `http_response` is an attribute.
    pub(in crate::format) fn has_response(&self) -> bool {
        self.class == Class::WebResourcesActivity || self.version == Version::V1_8
    }
}
