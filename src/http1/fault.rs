//! Why a message is refused.

use std::error::Error;
use std::io;
use thiserror::Error;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident => $text:literal, $status:literal, $said:literal;)+) => {
        /// Why a message is refused: a closed list, whose names are metric labels.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
        pub enum Fault {
            $($(#[$doc])* #[error($said)] $name,)+
        }

        impl Fault {
            /// Every fault, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Its name in metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The status that a client gets who sends such a request.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }
        }
    };
}

faults! {
    /// Not `method SP target SP version`.
    RequestLine => "request_line", 400, "the request line is not method, target and version";
    /// The method is no token.
    Method => "method", 400, "the method is not a token";
    /// The target has a byte that no target has, or no form that goes with the method.
    Target => "target", 400, "the request target is not valid";
    /// A version that is not spoken here.
    Version => "version", 505, "the HTTP version is not 1.0 or 1.1";
    /// The request line alone is over the limit.
    TargetTooLong => "target_too_long", 414, "the request target is too long";
    /// The head is over the limit.
    HeadTooLarge => "head_too_large", 431, "the head is too large";
    /// More fields than the limit.
    TooManyFields => "too_many_fields", 431, "the head has too many fields";
    /// A line that ends without CR.
    BareLf => "bare_lf", 400, "a line ends without CR";
    /// A CR without LF.
    BareCr => "bare_cr", 400, "a CR stands without LF";
    /// A zero byte.
    Nul => "nul", 400, "there is a zero byte in the head";
    /// Another control byte.
    Control => "control", 400, "there is a control byte in the head";
    /// A line that begins with a blank: the obsolete continuation of the line before.
    ObsFold => "obs_fold", 400, "a field line begins with a blank";
    /// A blank between name and colon.
    SpaceBeforeColon => "space_before_colon", 400, "there is a blank before the colon";
    /// A field name that is empty or no token, or a line without a colon.
    FieldName => "field_name", 400, "a field name is not a token";
    /// A Content-Length that is not a plain number below 2^63.
    ContentLength => "content_length", 400, "Content-Length is not a number";
    /// More than one Content-Length.
    RepeatedContentLength => "content_length_repeated", 400, "there is more than one Content-Length";
    /// Content-Length and Transfer-Encoding.
    BothLengths => "both_lengths", 400, "there are both Content-Length and Transfer-Encoding";
    /// Transfer-Encoding that is not a list of codings, or has chunked not once and last.
    TransferEncoding => "transfer_encoding", 400, "Transfer-Encoding is not valid";
    /// A transfer coding other than chunked.
    TransferCoding => "transfer_coding", 501, "no transfer coding but chunked is understood";
    /// Transfer-Encoding in a message of HTTP/1.0.
    TransferEncodingIn10 => "transfer_encoding_1_0", 400, "HTTP/1.0 has no Transfer-Encoding";
    /// A chunk size that is no hexadecimal number below 2^63, or has no CRLF behind it.
    ChunkSize => "chunk_size", 400, "a chunk size is not valid";
    /// A chunk extension that is not valid or too long.
    ChunkExtension => "chunk_extension", 400, "a chunk extension is not valid";
    /// No CRLF behind the data of a chunk.
    ChunkEnd => "chunk_end", 400, "a chunk does not end where it says";
    /// A trailer line that is not valid.
    Trailer => "trailer", 400, "a trailer field is not valid";
    /// A status line that is not valid.
    StatusLine => "status_line", 502, "the status line is not valid";
    /// Too many interim responses to one request.
    Interim => "interim", 502, "there are too many interim responses";
    /// Bytes behind the end of a response, or before any request.
    Surplus => "surplus", 502, "there are bytes that belong to no response";
}

impl Fault {
    /// Its position in [`Fault::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The fault at the bottom of an error that came through an I/O layer.
    #[must_use]
    pub fn find(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(fault) = error.downcast_ref::<Self>() {
                return Some(*fault);
            }
            // An io::Error shows what its inner error comes from, not the inner error itself.
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            if let Some(fault) = inner.and_then(|inner| inner.downcast_ref::<Self>()) {
                return Some(*fault);
            }
            next = error.source();
        }
        None
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::new(io::ErrorKind::InvalidData, fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_numbered_in_order() {
        for (index, fault) in Fault::ALL.iter().enumerate() {
            assert_eq!(fault.index(), index);
            assert_eq!(Fault::ALL.iter().filter(|other| other.as_str() == fault.as_str()).count(), 1);
        }
    }

    #[test]
    fn a_fault_is_found_below_other_errors() {
        #[derive(Debug, Error)]
        #[error("above")]
        struct Above(#[source] io::Error);
        assert_eq!(Fault::find(&Above(Fault::Nul.into())), Some(Fault::Nul));
        assert_eq!(Fault::find(&io::Error::from(io::ErrorKind::InvalidData)), None);
    }
}
