use super::mapping::{AT_DATA_BYTES, AT_SLOTS, AT_VERSION};
use super::*;
use crate::record::SequenceSet;
use crate::spool::frame::Header;
use proptest::prelude::*;
use uuid::Uuid;

fn identity() -> Identity {
    Identity { boot: Uuid::now_v7(), instance: "gw-1".into(), lane: 3 }
}

fn drain(reader: &mut RingReader, head: u64) -> Vec<(u64, Vec<u8>)> {
    let mut records = Vec::new();
    let mut position = reader.counters().tail;
    loop {
        let (at, run) = reader.run(position, head);
        if run.is_empty() {
            reader.advance(at);
            return records;
        }
        let mut rest = run;
        while !rest.is_empty() {
            let (header, payload, size) = Header::decode(rest).expect("every frame of a run is whole");
            assert_eq!(header.position, at + (run.len() - rest.len()) as u64);
            records.push((header.sequence, payload.to_vec()));
            rest = &rest[size..];
        }
        position = at + run.len() as u64;
    }
}

#[test]
fn what_a_dead_process_left_is_there_for_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lane-03.ring");
    let who = identity();
    {
        let (mut writer, _reader) = create(&path, &who, Geometry::new(1 << 16, 8)).unwrap();
        let (first, slot) = writer.open(b"first").unwrap();
        let (_second, _still_open) = writer.open(b"second").unwrap();
        assert_eq!(writer.close(first, slot, b"the record", 3), Pushed::Kept);
    }
    let (mut reader, found) = RingReader::open(&path).unwrap();
    assert_eq!(found, who);
    assert!(reader.same_machine_start());
    assert_eq!(reader.counters().taken, 2);
    assert_eq!(reader.intents(), [(1, &b"second"[..])]);
    let head = reader.counters().head;
    assert_eq!(drain(&mut reader, head), [(0, b"the record".to_vec())]);
}

#[test]
fn every_open_exchange_is_seen_however_many_were_open_before() {
    let (mut writer, reader) = anonymous(&identity(), Geometry::new(1 << 16, 64)).unwrap();
    let seen = |reader: &RingReader| {
        let mut sequences = Vec::new();
        reader.open_sequences(|sequence| sequences.push(sequence));
        sequences.sort_unstable();
        sequences
    };
    assert!(seen(&reader).is_empty());
    let mut open: Vec<_> = (0..64).map(|_| writer.open(b"x").unwrap()).collect();
    assert_eq!(seen(&reader), (0..64).collect::<Vec<_>>());
    for (sequence, slot) in open.drain(..63) {
        assert_eq!(writer.close(sequence, slot, b"y", 3), Pushed::Kept);
    }
    let (next, _slot) = writer.open(b"z").unwrap();
    assert_eq!(seen(&reader), [63, next]);
}

#[test]
fn no_slot_takes_no_sequence() {
    let (mut writer, reader) = anonymous(&identity(), Geometry::new(1 << 16, 1)).unwrap();
    let _held = writer.open(b"").unwrap();
    assert!(writer.open(b"").is_none());
    assert_eq!(reader.counters().taken, 1);
    assert_eq!(writer.record_closed(b"refused", 3), (1, Pushed::Kept));
    assert_eq!(reader.counters().taken, 2);
}

#[test]
fn a_record_larger_than_a_quarter_of_the_ring_is_counted_as_lost() {
    let (mut writer, reader) = anonymous(&identity(), Geometry::new(1 << 16, 1)).unwrap();
    assert_eq!(writer.record_closed(&vec![0; 1 << 15], 3), (0, Pushed::Lost));
    assert_eq!(reader.counters().lost, 1);
}

#[test]
fn a_damaged_or_foreign_ring_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lane-00.ring");
    drop(create(&path, &identity(), Geometry::new(1 << 16, 8)).unwrap());
    let good = std::fs::read(&path).unwrap();
    for (at, bytes) in [(0, &b"x"[..]), (AT_VERSION, &[9]), (AT_DATA_BYTES, &[1]), (AT_SLOTS, &[9])] {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        std::fs::write(&path, bad).unwrap();
        assert!(matches!(RingReader::open(&path), Err(RingError::Unusable { .. })), "byte {at}");
    }
    std::fs::write(&path, b"short").unwrap();
    assert!(matches!(RingReader::open(&path), Err(RingError::Unusable { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Any interleaving of births, closes and drains: what was taken is in what was
    /// drained, or open, or lost, and never in two of them.
    #[test]
    fn every_sequence_is_drained_open_or_lost(
        steps in proptest::collection::vec((0u8..10, 0usize..9_000, any::<usize>()), 1..300),
    ) {
        let (mut writer, mut reader) = anonymous(&identity(), Geometry::new(1 << 16, 16)).unwrap();
        let mut open: Vec<(u64, Slot)> = Vec::new();
        let mut drained = SequenceSet::new();
        for (what, size, pick) in steps {
            match what {
                0..=3 => if let Some(born) = writer.open(&vec![7; size]) { open.push(born); },
                4..=7 => if !open.is_empty() {
                    let (sequence, slot) = open.swap_remove(pick % open.len());
                    let _ = writer.close(sequence, slot, &vec![sequence as u8; size], 3);
                },
                8 => { let _ = writer.record_closed(&vec![writer.next_sequence() as u8; size], 3); },
                _ => {
                    let head = reader.counters().head;
                    for (sequence, payload) in drain(&mut reader, head) {
                        prop_assert!(drained.insert(sequence), "drained twice");
                        prop_assert!(payload.iter().all(|&byte| byte == sequence as u8));
                    }
                }
            }
            // The reader's judgement, at any moment.
            let counters = reader.counters();
            let mut accounted = drained.clone();
            let mut open_count = 0;
            reader.open_sequences(|sequence| { accounted.insert(sequence); open_count += 1; });
            prop_assert_eq!(open_count, open.len());
            let mut position = counters.tail;
            loop {
                let (at, run) = reader.run(position, counters.head);
                if run.is_empty() { break; }
                let mut rest = run;
                while !rest.is_empty() {
                    let (header, _, size) = Header::decode(rest).unwrap();
                    accounted.insert(header.sequence);
                    rest = &rest[size..];
                }
                position = at + run.len() as u64;
            }
            prop_assert_eq!(accounted.missing_below(counters.taken).count(), counters.lost);
        }
    }
}
