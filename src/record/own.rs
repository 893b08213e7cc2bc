//! Attributes of the gateway's own records.
//!
//! What an exchange can say is a fixed table of fields. What the gateway says of itself
//! (`log_source=onrecord`) is rarer and grows with its features, so these records hold
//! attributes by name: each is one [`Field::Own`] whose bytes are the name, a zero byte,
//! a letter for the type, and the value. Several list elements of one name in a row are
//! one list.

use super::field::Field;
use super::wire::{RecordView, RecordWriter};

/// The log source of the gateway's own records.
pub const OWN_SOURCE: &str = "onrecord";

const TEXT: u8 = b't';
const NUMBER: u8 = b'n';
const FLAG: u8 = b'f';
const ELEMENT: u8 = b'l';

/// The value of one attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnValue<'a> {
    /// A string.
    Text(&'a [u8]),
    /// An integer.
    Number(i64),
    /// True or false.
    Flag(bool),
    /// An element of a list of strings.
    Element(&'a [u8]),
}

impl RecordWriter<'_> {
    /// Appends one attribute of an own record.
    pub fn own(&mut self, name: &str, value: OwnValue<'_>) {
        let number;
        let (kind, value) = match value {
            OwnValue::Text(text) => (TEXT, text),
            OwnValue::Number(value) => {
                number = value.to_string();
                (NUMBER, number.as_bytes())
            }
            OwnValue::Flag(flag) => (FLAG, if flag { &b"1"[..] } else { b"0" }),
            OwnValue::Element(text) => (ELEMENT, text),
        };
        let mut bytes = Vec::with_capacity(name.len() + 2 + value.len());
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(&[0, kind]);
        bytes.extend_from_slice(value);
        self.bytes(Field::Own, &bytes);
    }
}

impl<'a> RecordView<'a> {
    /// The attributes of an own record, in their order. What a newer writer put there in
    /// a form that is not known here is left out.
    pub fn own(&self) -> impl Iterator<Item = (&'a [u8], OwnValue<'a>)> + use<'a> {
        self.all(Field::Own).filter_map(|bytes| {
            let (name, rest) = bytes.split_at(memchr::memchr(0, bytes)?);
            let (&[_, kind], value) = rest.split_first_chunk::<2>()?;
            let text = || std::str::from_utf8(value).ok();
            let value = match kind {
                TEXT => OwnValue::Text(value),
                NUMBER => OwnValue::Number(text()?.parse().ok()?),
                FLAG => OwnValue::Flag(value == b"1"),
                ELEMENT => OwnValue::Element(value),
                _ => return None,
            };
            Some((name, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_survive_their_byte_form_and_strange_ones_are_left_out() {
        let attributes: [(&[u8], OwnValue<'_>); 5] = [
            (b"gap.cause", OwnValue::Text(b"ring_full")),
            (b"gap.records", OwnValue::Number(i64::MAX)),
            (b"clock.jump", OwnValue::Number(-5)),
            (b"gap.exact", OwnValue::Flag(true)),
            (b"gap.ranges", OwnValue::Element(b"1-2")),
        ];
        let mut bytes = Vec::new();
        let mut writer = RecordWriter::new(&mut bytes);
        writer.bytes(Field::Own, b"no zero byte");
        writer.bytes(Field::Own, b"a.name\0");
        writer.bytes(Field::Own, b"a.name\0?new");
        writer.bytes(Field::Own, b"a.name\0nfive");
        for (name, value) in attributes {
            writer.own(std::str::from_utf8(name).unwrap(), value);
        }
        let view = RecordView::parse(&bytes).unwrap();
        assert_eq!(view.own().collect::<Vec<_>>(), attributes);
        assert_eq!(view.bytes(Field::Own), None, "a view keeps no place for it");
    }
}
