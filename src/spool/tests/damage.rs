//! Bytes that are not what they were.

use super::*;

fn path(number: u64) -> std::path::PathBuf {
    segment::Id { boot: boot(1), number }.path(Path::new("/data/spool/segments"))
}

/// Two sealed segments with the records 1 to 6 and 7 to 9.
fn two_segments() -> SimFs {
    let fs = disk(1);
    let spool = open(&fs, 1).unwrap();
    let mut writer = spool.writer();
    writer.rotate(&mark("first"), 1).unwrap();
    writer.append(&records(1..=6)).unwrap();
    writer.rotate(&mark("second"), 2).unwrap();
    writer.append(&records(7..=9)).unwrap();
    writer.sync().unwrap();
    drop((writer, spool));
    fs.kill();
    fs
}

/// The record whose frame holds this byte of the first segment.
fn touched(byte: usize) -> Option<u64> {
    let mut at = segment::HEADER as usize + mark("first").len();
    (1..=6).find(|sequence| {
        let from = at;
        at += records([*sequence]).len();
        (from..at).contains(&byte)
    })
}

#[test]
fn any_flipped_byte_loses_at_most_the_frame_that_it_touches() {
    let whole = two_segments();
    let length = whole.bytes(&path(1)).unwrap().len();
    for byte in 0..length {
        let fs = whole.fork();
        fs.flip(&path(1), byte * 8 + byte % 8);
        let spool = open(&fs, 2).unwrap();
        let met = read_all(&spool);
        let expected: Vec<u64> = (1..=9).filter(|sequence| Some(*sequence) != touched(byte)).collect();
        if met.records.len() == 9 {
            assert!(met.lost.len() <= 1, "byte {byte}: only padding, a mark or the header");
        } else {
            assert_eq!(met.records, expected, "byte {byte}");
            assert_eq!(met.lost.len(), 1, "byte {byte}");
            let kept = fs.list(Path::new("/data/spool/quarantine")).unwrap();
            assert_eq!(kept.len(), 1, "byte {byte}: {kept:?}");
        }
    }
}

#[test]
fn any_flipped_byte_of_the_newest_segment_is_recovered_around() {
    let whole = two_segments();
    let length = whole.bytes(&path(2)).unwrap().len();
    for byte in 0..length {
        let fs = whole.fork();
        fs.flip(&path(2), byte * 8 + byte % 8);
        let spool = open(&fs, 2).unwrap();
        recover_all(&spool).unwrap();
        let met = read_all(&spool);
        assert!(met.records.len() >= 8, "byte {byte}: {met:?}");
        assert!(met.records.is_sorted_by(|one, next| one < next), "byte {byte}: {met:?}");
    }
}

#[test]
fn any_length_that_is_left_of_a_segment_loses_only_what_was_cut() {
    let whole = two_segments();
    let length = whole.bytes(&path(1)).unwrap().len();
    for left in 0..=length {
        let fs = whole.fork();
        fs.damage(&path(1), |bytes| bytes.truncate(left));
        let spool = open(&fs, 2).unwrap();
        let met = read_all(&spool);
        let intact = (1..=6).filter(|sequence| {
            let end = segment::HEADER as usize + mark("first").len() + records(1..=*sequence).len();
            end <= left
        });
        assert_eq!(met.records, intact.chain(7..=9).collect::<Vec<_>>(), "{left} bytes left");
        assert_eq!(met.lost.is_empty(), left == length, "{left} bytes left: {met:?}");
    }
}

#[test]
fn a_segment_without_a_good_header_still_gives_its_frames_and_its_instance() {
    let fs = two_segments();
    fs.damage(&path(1), |bytes| bytes[..128].fill(0xff));
    assert_eq!(read_all(&open(&fs, 2).unwrap()).records, (1..=9).collect::<Vec<_>>());
}

#[test]
fn a_missing_segment_is_named_and_passed_over() {
    let fs = two_segments();
    fs.remove_file(&path(1)).unwrap();
    let spool = open(&fs, 2).unwrap();
    let mut met = Met::default();
    met.read(&mut spool.reader([Cursor { boot: boot(1), segment: 1, offset: 400 }]), usize::MAX);
    assert_eq!(met.records, [7, 8, 9]);
    assert_eq!(met.missing.first(), Some(&(1..2)));
}

#[test]
fn a_torn_tail_of_a_dead_boot_is_named_and_kept() {
    let fs = two_segments();
    let length = fs.bytes(&path(2)).unwrap().len() as u64;
    fs.damage(&path(2), |bytes| bytes.extend_from_slice(&records([10])[..40]));
    let spool = open(&fs, 2).unwrap();
    let met = read_all(&spool);
    assert_eq!(met.lost, [(2, length..length + 40, Damage::TornTail)]);
    let recovered = spool.recover_boot(boot(1), |_, _| {}).unwrap();
    assert_eq!(recovered.mark.as_deref(), Some(&b"second"[..]));
    assert_eq!(recovered.lost[0].bytes, length..length + 40);
    let kept = recovered.lost[0].kept.clone().unwrap();
    assert_eq!(fs.bytes(&kept).unwrap(), records([10])[..40]);
}

#[test]
fn megabytes_of_rubbish_are_passed_over_in_pieces() {
    let fs = two_segments();
    let mut random = fastrand::Rng::with_seed(1);
    let rubbish: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(2 << 20).collect();
    fs.damage(&path(2), |bytes| {
        bytes.extend_from_slice(&rubbish);
        bytes.extend_from_slice(&records(10..=12));
    });
    let met = read_all(&open(&fs, 2).unwrap());
    assert_eq!(met.records, (1..=12).collect::<Vec<_>>());
    assert!(met.lost.iter().map(|(_, bytes, _)| bytes.end - bytes.start).sum::<u64>() == 2 << 20);
}

#[test]
fn a_disk_that_refuses_a_read_once_costs_nothing_and_for_good_costs_a_block() {
    let fs = two_segments();
    let spool = open(&fs, 2).unwrap();
    let mut refused = 0;
    for offset in 1..12 {
        let mut reader = spool.reader([Cursor::start(boot(1))]);
        let call = fs.calls() + offset;
        fs.faults(|faults| faults.fail_call = Some((call, 5)));
        let mut records = Vec::new();
        loop {
            match reader.next() {
                Ok(Item::Data { header, .. }) if header.kind == Kind::Record => records.push(header.sequence),
                Ok(Item::EndOfLog) => break,
                Ok(_) => {}
                Err(_) => refused += 1,
            }
        }
        assert_eq!(records, (1..=9).collect::<Vec<_>>(), "call {offset}");
    }
    assert!(refused > 0);
}
