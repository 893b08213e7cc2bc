//! Field lines (RFC 9112 §5) and what they say of the message's framing (§6).

use super::fault::Fault;
use super::grammar::{is_token, length, token_length, trim};

/// What the fields of one head say of its framing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Framing {
    content_length: Option<u64>,
    transfer_encoding: Option<Coding>,
    /// An Upgrade field.
    pub(super) upgrade: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Chunked,
    Unknown,
}

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// By nothing: none in a request, to the connection's end in a response.
    Unsaid,
    /// By Content-Length.
    Exact(u64),
    /// By the chunked coding.
    Chunked,
}

impl Framing {
    /// Reads one field line without its CRLF; where its name ends. No control byte but tabs
    /// stands in it.
    #[inline]
    pub(super) fn field(&mut self, line: &[u8]) -> Result<usize, Fault> {
        let end = token_length(line);
        if end == 0 || line.get(end) != Some(&b':') {
            return Err(bad_name(line, end));
        }
        self.known(&line[..end], &line[end + 1..])?;
        Ok(end)
    }

    /// Notes a field whose name is a token and whose value has no control byte but tabs.
    #[inline(always)]
    pub(super) fn known(&mut self, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        match name.len() {
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(value)?,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.transfer_encoding(value)?,
            _ => {}
        }
        Ok(())
    }

    /// Whether a field of this name may say anything here.
    pub(super) fn is_of(name: &[u8]) -> bool {
        matches!(name.len(), 7 | 14 | 17)
    }

    #[inline(never)]
    fn content_length(&mut self, value: &[u8]) -> Result<(), Fault> {
        let length = length(trim(value)).ok_or(Fault::ContentLength)?;
        match self.content_length.replace(length) {
            None => Ok(()),
            Some(_) => Err(Fault::RepeatedContentLength),
        }
    }

    #[inline(never)]
    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Fault> {
        let coding = coding(trim(value))?;
        match self.transfer_encoding.replace(coding) {
            None => Ok(()),
            Some(_) => Err(Fault::TransferEncoding),
        }
    }

    /// How the body is delimited, once all fields are read.
    pub(super) fn length(&self, is_10: bool) -> Result<Length, Fault> {
        match (self.transfer_encoding, self.content_length) {
            (None, None) => Ok(Length::Unsaid),
            (None, Some(length)) => Ok(Length::Exact(length)),
            (Some(_), Some(_)) => Err(Fault::BothLengths),
            (Some(_), None) if is_10 => Err(Fault::TransferEncodingIn10),
            (Some(Coding::Chunked), None) => Ok(Length::Chunked),
            (Some(Coding::Unknown), None) => Err(Fault::TransferCoding),
        }
    }
}

/// `chunked` alone is understood. A list of other codings is told from what is no list, and
/// from one where chunked is doubled or is not the last, which no sender makes in good faith.
fn coding(value: &[u8]) -> Result<Coding, Fault> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(Coding::Chunked);
    }
    let mut seen_chunked = false;
    for member in value.split(|&byte| byte == b',') {
        let member = trim(member);
        if seen_chunked || !is_token(member) {
            return Err(Fault::TransferEncoding);
        }
        seen_chunked = member.eq_ignore_ascii_case(b"chunked");
    }
    Ok(Coding::Unknown)
}

#[cold]
fn bad_name(line: &[u8], end: usize) -> Fault {
    match (end, line.get(end)) {
        (0, Some(b' ' | b'\t')) => Fault::ObsFold,
        (1.., Some(b' ' | b'\t')) if memchr::memchr(b':', line).is_some() => Fault::SpaceBeforeColon,
        _ => Fault::FieldName,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<Length, Fault> {
        let mut framing = Framing::default();
        for line in lines {
            framing.field(line.as_bytes())?;
        }
        framing.length(false)
    }

    #[test]
    fn the_length_of_a_body_is_said_once_and_plainly() {
        assert_eq!(read(&["Host: a", "X:", "Y:\t\u{e9} \""]), Ok(Length::Unsaid));
        assert_eq!(read(&["content-LENGTH:\t 5 "]), Ok(Length::Exact(5)));
        assert_eq!(read(&["TRANSFER-encoding: Chunked"]), Ok(Length::Chunked));
        for (lines, fault) in [
            (&["Content-Length: 5", "Content-Length: 5"][..], Fault::RepeatedContentLength),
            (&["Content-Length: 5, 5"], Fault::ContentLength),
            (&["Content-Length:"], Fault::ContentLength),
            (&["Content-Length: 5", "Transfer-Encoding: chunked"], Fault::BothLengths),
            (&["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], Fault::TransferEncoding),
            (&["Transfer-Encoding: chunked, chunked"], Fault::TransferEncoding),
            (&["Transfer-Encoding: chunked, identity"], Fault::TransferEncoding),
            (&["Transfer-Encoding: chunked;x"], Fault::TransferEncoding),
            (&["Transfer-Encoding:"], Fault::TransferEncoding),
            (&["Transfer-Encoding: ,chunked"], Fault::TransferEncoding),
            (&["Transfer-Encoding: \"chunked\""], Fault::TransferEncoding),
            (&["Transfer-Encoding: chun\tked"], Fault::TransferEncoding),
            (&["Transfer-Encoding: xchunked"], Fault::TransferCoding),
            (&["Transfer-Encoding: identity"], Fault::TransferCoding),
            (&["Transfer-Encoding: gzip, chunked"], Fault::TransferCoding),
            (&["Transfer-Encoding: \u{b}chunked"], Fault::TransferEncoding),
            (&["Transfer-Encoding : chunked"], Fault::SpaceBeforeColon),
            (&[" Transfer-Encoding: chunked"], Fault::ObsFold),
            (&["\tx"], Fault::ObsFold),
            (&["Transfer\u{e9}Encoding: chunked"], Fault::FieldName),
            (&[": a"], Fault::FieldName),
            (&["X"], Fault::FieldName),
            (&["X y"], Fault::FieldName),
            (&["(x): y"], Fault::FieldName),
        ] {
            assert_eq!(read(lines), Err(fault), "{lines:?}");
        }
        let mut framing = Framing::default();
        framing.field(b"Transfer-Encoding: chunked").unwrap();
        assert_eq!(framing.length(true), Err(Fault::TransferEncodingIn10));
    }
}
