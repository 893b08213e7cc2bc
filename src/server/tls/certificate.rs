//! What X.509 certificates say: the names they are for, until when, and whose they are.

use super::options::ActorPart;
use crate::capture::{CertificateActor, ClientCertificate};
use aws_lc_rs::digest;
use std::fmt::Write as _;
use x509_parser::asn1_rs::{Any, FromDer as _, Tag};
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::OID_X509_COMMON_NAME;
use x509_parser::prelude::X509Certificate;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// What a server's certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerNames {
    /// Host names, in lower case; a wildcard begins with `*.`.
    pub(super) names: Vec<String>,
    /// Unix seconds.
    pub(super) not_before: i64,
    /// Unix seconds.
    pub(super) not_after: i64,
}

/// Reads the names of a server's certificate; `None` if it is none.
pub(super) fn server_names(der: &[u8]) -> Option<ServerNames> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = alternative_names(&certificate).into_iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.trim_end_matches('.').to_ascii_lowercase()),
        _ => None,
    });
    Some(ServerNames {
        names: names.collect(),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
    })
}

/// From when to when a certificate is valid, in Unix seconds; `None` if it is none.
pub(in crate::server) fn validity(der: &[u8]) -> Option<(i64, i64)> {
    server_names(der).map(|says| (says.not_before, says.not_after))
}

/// Whether the first certificate says that the second one issued it.
pub(super) fn names_as_issuer(der: &[u8], issuer: &[u8]) -> bool {
    let (Ok((_, certificate)), Ok((_, issuer))) =
        (X509Certificate::from_der(der), X509Certificate::from_der(issuer))
    else {
        return false;
    };
    certificate.issuer().as_raw() == issuer.subject().as_raw()
}

/// Reads whose a client's certificate is; `None` if it can't be read, or if its time is over at
/// `now` (Unix seconds), which a resumed session does not check.
pub(super) fn client_certificate(der: &[u8], part: ActorPart, now: i64) -> Option<ClientCertificate> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    if certificate.validity().not_after.timestamp() < now {
        return None;
    }
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
    let subject = rfc4514(certificate.subject());
    let named = || alternative_names(&certificate).into_iter();
    let found = match part {
        ActorPart::None => return Some(ClientCertificate { subject, sha256, actor: None }),
        ActorPart::Subject => None,
        ActorPart::CommonName => {
            let mut names = certificate.subject().iter_attributes();
            names.find(|part| *part.attr_type() == OID_X509_COMMON_NAME).and_then(text)
        }
        ActorPart::Email => named().find_map(|name| match name {
            GeneralName::RFC822Name(email) => Some((*email).to_owned()),
            _ => None,
        }),
        ActorPart::Uri => named().find_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        }),
        ActorPart::Dns => named().find_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        }),
    };
    let found = found.filter(|id| !id.is_empty());
    let is_email = part == ActorPart::Email && found.is_some();
    let actor = CertificateActor { id: found.unwrap_or_else(|| subject.clone()), is_email };
    // Nobody is named by a certificate without subject and without the part.
    let actor = Some(actor).filter(|actor| !actor.id.is_empty());
    Some(ClientCertificate { subject, sha256, actor })
}

fn alternative_names<'a>(certificate: &'a X509Certificate<'a>) -> Vec<&'a GeneralName<'a>> {
    let extension = certificate.subject_alternative_name().ok().flatten();
    extension.map(|extension| extension.value.general_names.iter().collect()).unwrap_or_default()
}

/// The name as RFC 4514 writes it: the last part first.
fn rfc4514(name: &X509Name<'_>) -> String {
    let mut out = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for (position, part) in parts.iter().rev().enumerate() {
        if position > 0 {
            out.push(',');
        }
        for (position, attribute) in part.iter().enumerate() {
            if position > 0 {
                out.push('+');
            }
            write_attribute(attribute, &mut out);
        }
    }
    out
}

/// The short names that RFC 4514 §3 gives to some types; all others are written by number.
const TYPES: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

fn write_attribute(attribute: &AttributeTypeAndValue<'_>, out: &mut String) {
    let number = attribute.attr_type().to_id_string();
    let short = TYPES.iter().find(|(known, _)| *known == number).map(|(_, short)| *short);
    match (short, text(attribute)) {
        (Some(short), Some(value)) => {
            let _ = write!(out, "{short}=");
            write_escaped(&value, out);
        }
        (short, _) => {
            // The DER of the value, in hexadecimal (RFC 4514 §2.4).
            let _ = write!(out, "{}=#", short.unwrap_or(&number));
            for byte in encoded(attribute.attr_value()) {
                let _ = write!(out, "{byte:02x}");
            }
        }
    }
}

/// Tag, length and bytes of a value.
fn encoded(value: &Any<'_>) -> Vec<u8> {
    use x509_parser::asn1_rs::ToDer as _;
    value.to_der_vec().unwrap_or_default()
}

/// The attribute's text, if it is one that can be read as such.
fn text(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let value = attribute.attr_value();
    let bytes = value.data;
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString => {
            std::str::from_utf8(bytes).ok().map(str::to_owned)
        }
        // As everybody reads it: Latin-1.
        Tag::T61String => Some(bytes.iter().map(|&byte| char::from(byte)).collect()),
        Tag::BmpString => {
            let units: Vec<u16> =
                bytes.chunks_exact(2).map(|two| u16::from_be_bytes([two[0], two[1]])).collect();
            String::from_utf16(&units).ok()
        }
        _ => None,
    }
}

/// RFC 4514 §2.4.
fn write_escaped(value: &str, out: &mut String) {
    let last = value.chars().count().saturating_sub(1);
    for (position, c) in value.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => out.extend(['\\', c]),
            '#' if position == 0 => out.push_str("\\#"),
            ' ' if position == 0 || position == last => out.push_str("\\ "),
            c if c.is_control() => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(out, "\\{byte:02x}");
                }
            }
            c => out.push(c),
        }
    }
}
