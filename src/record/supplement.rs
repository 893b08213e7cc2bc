//! What was found out about a record after it was closed.
//!
//! A record stands in the ring before the last byte goes to the client, so what only its
//! bodies tell comes later, as a *supplement*: fields in the record's own byte form, in a
//! frame of their own. A field that a supplement holds takes the place of all fields of that
//! number in the record; one that it holds empty is taken out of it.

use super::wire::{Fields, RecordWriter, Value, WireError};

/// Appends the record that a supplement and a record make together.
///
/// # Errors
/// When either is not in the byte form; `out` is then to be thrown away.
pub fn merge(supplement: &[u8], record: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
    let mut replaced = 0u128;
    let mut writer = RecordWriter::new(out);
    for item in Fields::new(supplement) {
        let (number, value) = item?;
        replaced |= 1 << number;
        if value != Value::Bytes(&[]) {
            writer.raw(number, value);
        }
    }
    for item in Fields::new(record) {
        let (number, value) = item?;
        if replaced >> number & 1 == 0 {
            writer.raw(number, value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Field, RecordView};

    #[test]
    fn a_supplements_field_takes_the_place_of_all_of_its_number() {
        let mut record = Vec::new();
        let mut writer = RecordWriter::new(&mut record);
        writer.text(Field::Action, "ambiguous");
        writer.text(Field::ActionCandidate, "publish");
        writer.text(Field::ActionCandidate, "unpublish");
        writer.integer(Field::Inspected, 1);
        writer.integer(Field::Status, 200);
        let mut supplement = Vec::new();
        let mut writer = RecordWriter::new(&mut supplement);
        writer.text(Field::Action, "publish");
        writer.bytes(Field::ActionCandidate, b"");
        writer.text(Field::ResourceId, "e1");
        let mut merged = Vec::new();
        merge(&supplement, &record, &mut merged).unwrap();
        let view = RecordView::parse(&merged).unwrap();
        assert_eq!(view.bytes(Field::Action), Some(&b"publish"[..]));
        assert_eq!(view.all(Field::ActionCandidate).count(), 0);
        assert_eq!(view.bytes(Field::ResourceId), Some(&b"e1"[..]));
        assert_eq!(view.integer(Field::Status), Some(200));
        assert_eq!(view.integer(Field::Inspected), Some(1));
    }

    #[test]
    fn bytes_that_are_no_fields_are_an_error() {
        assert!(merge(&[0x83, 200], &[], &mut Vec::new()).is_err());
        assert!(merge(&[], &[0x83, 200], &mut Vec::new()).is_err());
    }
}
