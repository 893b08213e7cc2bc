//! Who is at the other end of a connection, as far as the connection itself tells.

use super::actor::{Authentication, Fingerprinter};
use crate::record::{Field, RecordWriter};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// Who is at the other end of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// The address, by the PROXY protocol if a proxy told it so; `None` on a Unix socket.
    pub address: Option<SocketAddr>,
    /// What TLS tells, where it ends here.
    pub tls: Option<TlsPeer>,
}

/// What a TLS handshake told of the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPeer {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// The certificate that it proved to have.
    pub certificate: Option<ClientCertificate>,
}

/// A client's certificate, checked against the configured authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The subject's distinguished name (RFC 4514).
    pub subject: String,
    /// SHA-256 of the certificate (DER); its keyed fingerprint is `actor.credential.id`.
    pub sha256: [u8; 32],
    /// The actor that it names; `None` where certificates name no actors here.
    pub actor: Option<CertificateActor>,
}

/// The actor that a certificate names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateActor {
    /// The configured part of the certificate, else its subject.
    pub id: String,
    /// Whether the id is an e-mail address: then a person acts, otherwise a program.
    pub is_email: bool,
}

/// Peers by network, and those on a Unix socket, which have no address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerSet {
    /// Networks.
    pub networks: Vec<IpNet>,
    /// Whether peers on a Unix socket belong to it.
    pub unix: bool,
}

impl Peer {
    /// The address without its port; an IPv4 address in IPv6 form is one of IPv4.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip().to_canonical())
    }

    /// The actor that its certificate names.
    pub(super) fn actor(&self) -> Option<(&ClientCertificate, &CertificateActor)> {
        let certificate = self.tls.as_ref()?.certificate.as_ref()?;
        Some((certificate, certificate.actor.as_ref()?))
    }

    /// Writes what TLS tells.
    pub(super) fn describe(&self, writer: &mut RecordWriter<'_>) {
        let Some(tls) = &self.tls else { return };
        writer.text(Field::TlsVersion, tls.version);
        if let Some(certificate) = &tls.certificate {
            writer.text(Field::TlsClientSubject, &certificate.subject);
        }
    }
}

impl CertificateActor {
    /// Writes who acts: checked, since the client proved that the certificate is its own.
    pub(super) fn describe(
        &self,
        certificate: &ClientCertificate,
        fingerprinter: &Fingerprinter,
        writer: &mut RecordWriter<'_>,
    ) {
        writer.text(Field::ActorAuthentication, Authentication::Mtls.as_str());
        writer.bytes(Field::CredentialId, &fingerprinter.fingerprint(&certificate.sha256));
        writer.text(Field::CredentialKey, fingerprinter.key_name());
        writer.text(Field::ActorType, if self.is_email { "user" } else { "service" });
        writer.text(Field::ActorId, &self.id);
        writer.text(Field::ActorProvenance, "verified");
        if self.is_email {
            writer.text(Field::ActorEmail, &self.id);
        }
    }
}

impl PeerSet {
    /// Whether nobody belongs to it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }

    /// Whether a peer with this address belongs to it; `None`: one on a Unix socket.
    #[must_use]
    pub fn contains(&self, address: Option<IpAddr>) -> bool {
        match address {
            Some(address) => {
                let address = address.to_canonical();
                self.networks.iter().any(|network| network.contains(&address))
            }
            None => self.unix,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_without_address_belongs_only_where_unix_is_named() {
        let networks = vec!["10.0.0.0/8".parse().unwrap()];
        let set = PeerSet { networks, unix: false };
        assert!(set.contains(Some("10.1.2.3".parse().unwrap())));
        assert!(set.contains(Some("::ffff:10.1.2.3".parse().unwrap())));
        assert!(!set.contains(Some("192.0.2.1".parse().unwrap())) && !set.contains(None));
        assert!(PeerSet { unix: true, ..set }.contains(None));
    }
}
