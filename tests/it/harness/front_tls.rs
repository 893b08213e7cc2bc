//! Certificates, made by an authority of the test's own, and a TLS client.

use super::PATIENCE;
use super::client::Connection;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ALL_VERSIONS, ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A certificate with its chain, and its key, both PEM.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) chain: String,
    pub(crate) key: String,
}

/// An authority.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A server's certificate for these names.
    pub(crate) fn server(&self, names: &[&str]) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.sign(CertificateParams::new(names).unwrap())
    }

    /// A certificate that a change of its parameters makes what it is.
    pub(crate) fn client(&self, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair { chain: certificate.pem(), key: key.serialize_pem() }
    }

    /// A list that revokes certificates with these serial numbers.
    pub(crate) fn revoke(&self, serials: &[u64]) -> String {
        let now = SystemTime::now();
        let revoked = serials.iter().map(|&serial| RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: now.into(),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: now.into(),
            next_update: (now + Duration::from_secs(86_400)).into(),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// A subject's common name and organization.
pub(crate) fn named(params: &mut CertificateParams, common_name: &str) {
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::OrganizationName, "Acme, Inc.");
    params.distinguished_name.push(DnType::CommonName, common_name);
}

/// An e-mail address among the alternative names.
pub(crate) fn email(params: &mut CertificateParams, address: &str) {
    params.subject_alt_names.push(SanType::Rfc822Name(address.try_into().unwrap()));
}

/// What a client believes and shows.
#[derive(Clone, Debug)]
pub(crate) struct Client(Arc<ClientConfig>);

impl Client {
    /// A client that believes this authority.
    pub(crate) fn trusting(authority: &str) -> Self {
        Self::with(authority, None, ALL_VERSIONS, |_| {})
    }

    /// The same, with a certificate to show.
    pub(crate) fn showing(authority: &str, pair: &Pair) -> Self {
        Self::with(authority, Some(pair), ALL_VERSIONS, |_| {})
    }

    pub(crate) fn with(
        authority: &str,
        pair: Option<&Pair>,
        versions: &[&'static SupportedProtocolVersion],
        change: impl FnOnce(&mut ClientConfig),
    ) -> Self {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(authority.as_bytes()) {
            roots.add(root.unwrap()).unwrap();
        }
        let builder =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_protocol_versions(versions)
                .unwrap()
                .with_root_certificates(roots);
        let mut config = match pair {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain =
                    CertificateDer::pem_slice_iter(pair.chain.as_bytes()).map(Result::unwrap).collect();
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        change(&mut config);
        Self(Arc::new(config))
    }

    /// Connects and makes the handshake.
    pub(crate) fn connect(&self, to: SocketAddr, host: &str) -> io::Result<Connection<Stream>> {
        let stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
        self.connect_over(stream, host)
    }

    /// Makes the handshake on a connection that is there.
    pub(crate) fn connect_over(&self, mut stream: TcpStream, host: &str) -> io::Result<Connection<Stream>> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let mut session = ClientConnection::new(Arc::clone(&self.0), name).unwrap();
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        Ok(Connection::over(StreamOwned::new(session, stream)))
    }
}

/// A client's side of TLS.
pub(crate) type Stream = StreamOwned<ClientConnection, TcpStream>;

/// The first certificate that the server showed.
pub(crate) fn shown(connection: &Connection<Stream>) -> Vec<u8> {
    connection.stream().conn.peer_certificates().unwrap()[0].to_vec()
}

/// The certificate of a pair, as the server shows it.
pub(crate) fn der(pair: &Pair) -> Vec<u8> {
    CertificateDer::from_pem_slice(pair.chain.as_bytes()).unwrap().to_vec()
}
