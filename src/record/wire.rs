//! The byte form of a record: a run of numbered fields.
//!
//! Each field is a key byte (the number, with the high bit set when bytes
//! follow) and then either an LEB128 integer, or an LEB128 length and that many
//! bytes. Fields come in any order; all but the repeatable ones come once (the
//! first wins). A reader skips numbers that it does not know, so a newer writer
//! never breaks an older reader, and the form is independent of memory layout
//! and machine.

use super::field::{CacheStatus, ErrorType, Field, InspectionError, MAX_FIELD, Outcome};
use thiserror::Error;

/// The version of this byte form, stored in each frame.
pub const WIRE_VERSION: u8 = 1;

const BYTES: u8 = 0x80;

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// The bytes end inside a field.
    #[error("the record ends inside field {field}")]
    Truncated {
        /// Number of the field.
        field: u8,
    },
    /// An integer has more than 64 bits.
    #[error("field {field} holds an integer of more than 64 bits")]
    Overflow {
        /// Number of the field.
        field: u8,
    },
}

/// Appends fields to a buffer. Never fails; the buffer grows as needed.
#[derive(Debug)]
pub struct RecordWriter<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> RecordWriter<'a> {
    /// Writes behind what `out` already holds.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Appends an integer field.
    #[inline]
    pub fn integer(&mut self, field: Field, value: u64) {
        self.out.push(field as u8);
        push_varint(self.out, value);
    }

    /// Appends a bytes field.
    #[inline]
    pub fn bytes(&mut self, field: Field, value: &[u8]) {
        self.out.push(field as u8 | BYTES);
        push_varint(self.out, value.len() as u64);
        self.out.extend_from_slice(value);
    }

    /// Appends a bytes field unless it is empty.
    #[inline]
    pub fn text(&mut self, field: Field, value: &str) {
        if !value.is_empty() {
            self.bytes(field, value.as_bytes());
        }
    }

    /// Appends a field by its number, which need not be known here.
    pub(crate) fn raw(&mut self, number: u8, value: Value<'_>) {
        match value {
            Value::Integer(value) => {
                self.out.push(number & !BYTES);
                push_varint(self.out, value);
            }
            Value::Bytes(bytes) => {
                self.out.push(number | BYTES);
                push_varint(self.out, bytes.len() as u64);
                self.out.extend_from_slice(bytes);
            }
        }
    }
}

#[inline]
fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// One field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// An integer.
    Integer(u64),
    /// Bytes.
    Bytes(&'a [u8]),
}

/// Walks the fields of a record's bytes in the order in which they stand.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Walks `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    #[inline]
    fn varint(&mut self, field: u8) -> Result<u64, WireError> {
        // Most lengths and many numbers are one byte.
        if let Some((&byte, rest)) = self.rest.split_first()
            && byte < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(byte));
        }
        self.long_varint(field)
    }

    fn long_varint(&mut self, field: u8) -> Result<u64, WireError> {
        let mut value = 0u64;
        for shift in 0..10 {
            let (&byte, rest) = self.rest.split_first().ok_or(WireError::Truncated { field })?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 9 && bits > 1 {
                return Err(WireError::Overflow { field });
            }
            value |= bits << (shift * 7);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError::Overflow { field })
    }

    /// In line always: a value that is handed over by way of memory is waited for, which takes
    /// longer than to read it.
    #[inline(always)]
    fn field(&mut self) -> Result<(u8, Value<'a>), WireError> {
        let (&key, rest) = self.rest.split_first().ok_or(WireError::Truncated { field: 0 })?;
        self.rest = rest;
        let number = key & !BYTES;
        let value = self.varint(number)?;
        if key & BYTES == 0 {
            return Ok((number, Value::Integer(value)));
        }
        let length = usize::try_from(value).map_err(|_| WireError::Truncated { field: number })?;
        if length > self.rest.len() {
            return Err(WireError::Truncated { field: number });
        }
        let (bytes, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok((number, Value::Bytes(bytes)))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u8, Value<'a>), WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = self.field();
        if item.is_err() {
            self.rest = &[];
        }
        Some(item)
    }
}

/// A record read in place: each field's value by number, without copying.
#[derive(Clone, Debug)]
pub struct RecordView<'a> {
    bytes: &'a [u8],
    fields: [Option<Value<'a>>; MAX_FIELD as usize + 1],
}

impl<'a> RecordView<'a> {
    /// Reads a record's bytes. Unknown fields are skipped.
    ///
    /// # Errors
    /// When the bytes end inside a field or an integer is too long.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut fields = [None; MAX_FIELD as usize + 1];
        let mut walk = Fields::new(bytes);
        while !walk.rest.is_empty() {
            let (number, value) = walk.field()?;
            if let Some(slot) = fields.get_mut(usize::from(number)) {
                slot.get_or_insert(value);
            }
        }
        Ok(Self { bytes, fields })
    }

    /// The bytes that this view reads.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The first value of a bytes field.
    #[must_use]
    pub fn bytes(&self, field: Field) -> Option<&'a [u8]> {
        match *self.fields.get(field as usize)? {
            Some(Value::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// The first value of an integer field.
    #[must_use]
    pub fn integer(&self, field: Field) -> Option<u64> {
        match *self.fields.get(field as usize)? {
            Some(Value::Integer(value)) => Some(value),
            _ => None,
        }
    }

    /// Every value of a repeatable bytes field, in order.
    pub fn all(&self, field: Field) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        // Most records have none of most of them. Of some numbers the view keeps no place.
        let is_absent = self.fields.get(field as usize).is_some_and(Option::is_none);
        Fields::new(if is_absent { &[] } else { self.bytes }).filter_map(move |item| match item {
            Ok((number, Value::Bytes(bytes))) if number == field as u8 => Some(bytes),
            _ => None,
        })
    }

    /// The event id, if the record has one of the right length.
    #[must_use]
    pub fn event_id(&self) -> Option<[u8; 16]> {
        self.bytes(Field::EventId)?.try_into().ok()
    }

    /// Unix microseconds of the start; 0 where it is missing.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.integer(Field::Start).unwrap_or(0)
    }

    /// How the exchange ended; a record without outcome is one whose end nobody saw.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.integer(Field::Outcome).and_then(Outcome::from_number).unwrap_or(Outcome::Unknown)
    }

    /// What a cache said, if any did.
    #[must_use]
    pub fn cache_status(&self) -> Option<CacheStatus> {
        self.integer(Field::CacheStatus).and_then(CacheStatus::from_number)
    }

    /// Why a body could not tell what the catalogue wants of it, if it could not.
    #[must_use]
    pub fn inspection_error(&self) -> Option<InspectionError> {
        self.integer(Field::InspectionError).and_then(InspectionError::from_number)
    }

    /// Why the exchange failed, if it did.
    #[must_use]
    pub fn error_type(&self) -> Option<ErrorType> {
        self.integer(Field::ErrorType).and_then(ErrorType::from_number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_field_of_a_newer_writer_is_skipped() {
        let mut out = Vec::new();
        out.extend_from_slice(&[126, 5, 127 | BYTES, 3, 1, 2, 3]);
        RecordWriter::new(&mut out).integer(Field::Status, 204);
        let view = RecordView::parse(&out).unwrap();
        assert_eq!(view.integer(Field::Status), Some(204));
    }

    #[test]
    fn the_first_of_two_values_wins_and_repeats_are_all_there() {
        let mut out = Vec::new();
        let mut writer = RecordWriter::new(&mut out);
        writer.text(Field::ActionCandidate, "publish");
        writer.text(Field::ActionCandidate, "delete_draft");
        let view = RecordView::parse(&out).unwrap();
        assert_eq!(view.bytes(Field::ActionCandidate), Some(&b"publish"[..]));
        assert_eq!(view.all(Field::ActionCandidate).count(), 2);
    }

    #[test]
    fn a_length_beyond_the_end_is_an_error() {
        assert_eq!(
            RecordView::parse(&[15 | BYTES, 200, 1, 0]).unwrap_err(),
            WireError::Truncated { field: 15 }
        );
        assert_eq!(
            RecordView::parse(&[2, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2]).unwrap_err(),
            WireError::Overflow { field: 2 }
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(start: u64, size: u64, path: Vec<u8>, agent in ".{0,300}") {
            let mut out = Vec::new();
            let mut writer = RecordWriter::new(&mut out);
            writer.integer(Field::Start, start);
            writer.bytes(Field::Path, &path);
            writer.integer(Field::ResponseBodySize, size);
            writer.text(Field::UserAgent, &agent);
            let view = RecordView::parse(&out).unwrap();
            prop_assert_eq!(view.start(), start);
            prop_assert_eq!(view.integer(Field::ResponseBodySize), Some(size));
            prop_assert_eq!(view.bytes(Field::Path), Some(&path[..]));
            prop_assert_eq!(view.bytes(Field::UserAgent).unwrap_or_default(), agent.as_bytes());
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_panic(bytes: Vec<u8>) {
            if let Ok(view) = RecordView::parse(&bytes) {
                let _ = (view.outcome(), view.event_id(), view.all(Field::Resources).count());
            }
        }
    }
}
