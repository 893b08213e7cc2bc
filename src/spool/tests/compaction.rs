//! Segments that are compressed while the world goes on, or ends.

use super::*;

const SEGMENTS: &str = "/data/spool/segments";

fn plain(number: u64) -> std::path::PathBuf {
    segment::Id { boot: boot(1), number }.path(Path::new(SEGMENTS))
}

fn compressed(number: u64) -> std::path::PathBuf {
    plain(number).with_extension("segz")
}

/// Segments with 40 records each, of which the last one is being written.
fn written(fs: &SimFs, segments: u64) -> (Spool, SegmentWriter) {
    let spool = open(fs, 1).unwrap();
    let mut writer = spool.writer();
    for number in 0..segments {
        writer.rotate(&mark("a head"), number).unwrap();
        writer.append(&records(number * 40 + 1..=number * 40 + 40)).unwrap();
    }
    writer.sync().unwrap();
    (spool, writer)
}

/// The same, with all compressed that can be, after the end of the process.
fn dead_and_compressed(segments: u64) -> SimFs {
    let fs = disk(1);
    let (spool, writer) = written(&fs, segments);
    assert_eq!(compress_all(&spool).unwrap() as u64, segments - 1);
    drop((spool, writer));
    fs.kill();
    fs
}

fn names(fs: &SimFs) -> Vec<String> {
    let names = fs.list(&Path::new(SEGMENTS).join(boot(1).to_string())).unwrap();
    names.into_iter().filter(|name| name != "lock").collect()
}

#[test]
fn a_compressed_segment_is_read_as_before_from_every_place_in_it() {
    let fs = disk(1);
    let (spool, _writer) = written(&fs, 3);
    let walk = |from: Cursor| {
        let mut reader = spool.reader([from]);
        let mut met = Vec::new();
        loop {
            match reader.next().unwrap() {
                Item::Data { at, header, payload, .. } => met.push((at, header, payload.to_vec())),
                Item::EndOfLog => return met,
                other => panic!("{other:?}"),
            }
        }
    };
    let before = walk(Cursor::start(boot(1)));
    let sizes = spool.segments().unwrap();
    assert_eq!(compress_all(&spool).unwrap(), 2);
    assert_eq!(walk(Cursor::start(boot(1))), before);
    for (number, (at, ..)) in before.iter().enumerate() {
        assert_eq!(walk(*at), before[number + 1..], "{at:?}");
    }
    for (was, is) in sizes.iter().zip(spool.segments().unwrap()) {
        assert_eq!((was.id, was.plain), (is.id, is.plain));
        assert_eq!(is.bytes < was.bytes, is.id.number < 3, "{is:?}");
    }
    assert_eq!(names(&fs).len(), 3, "{:?}", names(&fs));
}

#[test]
fn a_reader_inside_a_segment_does_not_notice_that_it_is_compressed_and_removed() {
    let fs = disk(1);
    let (spool, mut writer) = written(&fs, 3);
    for met_before in [0, 1, 30, 41, 42, 80, 200] {
        let mut reader = spool.reader([Cursor::start(boot(1))]);
        let mut met = Met::default();
        met.read(&mut reader, met_before);
        compress_all(&spool).unwrap();
        met.read(&mut reader, usize::MAX);
        assert_eq!((met.records.len(), met.lost, met.missing), (120, vec![], vec![]));
    }
    writer.rotate(&mark("a head"), 9).unwrap();
    compress_all(&spool).unwrap();
    spool.remove_segment(segment::Id { boot: boot(1), number: 1 }).unwrap();
    assert_eq!(read_all(&spool).records, (41..=120).collect::<Vec<_>>());
}

#[test]
fn only_what_waits_long_enough_is_compressed_and_never_what_is_written() {
    let fs = disk(1);
    let (spool, _writer) = written(&fs, 4);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let mut compactor = Compactor::new(std::time::Duration::from_micros(10));
    // Segment n is sealed at the time n.
    assert_eq!(compactor.step(&spool, 10, &stop).unwrap(), None);
    let done = compactor.step(&spool, 11, &stop).unwrap().unwrap();
    assert_eq!((done.id.number, done.after < done.before), (1, true));
    assert_eq!(compactor.step(&spool, 11, &stop).unwrap(), None);
    while compactor.step(&spool, u64::MAX, &stop).unwrap().is_some() {}
    assert_eq!(names(&fs).last(), Some(&segment::file_name(4)));
    assert_eq!(names(&fs).iter().filter(|name| name.ends_with(".segz")).count(), 3);
}

#[test]
fn a_spool_with_compressed_segments_says_so_before_there_is_one() {
    let fs = disk(1);
    let (spool, _writer) = written(&fs, 2);
    let version = || {
        let text = fs.bytes(&Path::new(DIR).join("format")).unwrap();
        format::Format::decode(&text).unwrap().version
    };
    assert_eq!(version(), format::PLAIN);
    fs.faults(|faults| faults.failing_syncs = 1);
    compress_all(&spool).unwrap_err();
    assert_eq!((version(), names(&fs).len()), (format::PLAIN, 2), "{:?}", names(&fs));
    compress_all(&spool).unwrap();
    assert_eq!(version(), format::COMPRESSED);
    drop((spool, _writer));
    fs.kill();
    assert_eq!(read_all(&open(&fs, 2).unwrap()).records.len(), 80);
}

#[test]
fn whichever_call_fails_or_has_no_room_nothing_is_lost_and_the_next_attempt_works() {
    let whole = disk(1);
    let (spool, _writer) = written(&whole, 3);
    let before = whole.calls();
    compress_all(&spool).unwrap();
    let calls = whole.calls() - before;
    for call in 1..=calls {
        for errno in [5, 28] {
            let fs = disk(1);
            let (spool, _writer) = written(&fs, 3);
            let fails = fs.calls() + call;
            fs.faults(|faults| faults.fail_call = Some((fails, errno)));
            let first = compress_all(&spool);
            assert_eq!(read_all(&spool).records, (1..=120).collect::<Vec<_>>(), "call {call}: {first:?}");
            compress_all(&spool).unwrap();
            let met = read_all(&spool);
            assert_eq!((met.records.len(), met.lost), (120, vec![]), "call {call}");
            let left = names(&fs);
            let plain = left.iter().filter(|name| name.ends_with(".seg")).count();
            assert!(plain <= 2 && !left.iter().any(|name| name.ends_with(".tmp")), "call {call}: {left:?}");
        }
    }
}

#[test]
fn without_room_for_a_second_file_the_first_one_stays_and_takes_records_as_before() {
    let fs = disk(1);
    let (spool, mut writer) = written(&fs, 3);
    let used = fs.files().iter().map(|path| fs.bytes(path).unwrap().len() as u64).sum::<u64>();
    fs.faults(|faults| faults.room = Some(used + 200));
    compress_all(&spool).unwrap_err();
    assert!(!names(&fs).iter().any(|name| name.ends_with(".tmp")), "{:?}", names(&fs));
    writer.append(&records([121])).unwrap();
    assert_eq!(read_all(&spool).records.len(), 121);
}

#[test]
fn a_death_in_any_call_of_compressing_costs_nothing() {
    let start = || {
        let fs = disk(2);
        let kept = written(&fs, 3);
        (fs, kept)
    };
    let (whole, (spool, _writer)) = start();
    let before = whole.calls();
    compress_all(&spool).unwrap();
    for call in before + 1..=whole.calls() {
        let (fs, (spool, writer)) = start();
        fs.faults(|faults| faults.crash_at = Some(call));
        compress_all(&spool).ok();
        assert!(fs.is_dead());
        drop((spool, writer));
        let check = |fs: &SimFs, what: &str| {
            for life in 7..9 {
                let spool = open(fs, life).unwrap();
                recover_all(&spool).unwrap();
                let met = read_all(&spool);
                assert_eq!(met.records, (1..=120).collect::<Vec<_>>(), "{what}, life {life}");
                assert_eq!((met.lost, met.missing), (vec![], vec![]), "{what}, life {life}");
                compress_all(&spool).unwrap();
                let met = read_all(&spool);
                assert_eq!(met.records, (1..=120).collect::<Vec<_>>(), "{what}, life {life}, compressed");
                assert!(!names(fs).iter().any(|name| name.ends_with(".tmp")), "{what}: {:?}", names(fs));
                drop(spool);
                fs.kill();
            }
        };
        let killed = fs.fork();
        killed.kill();
        check(&killed, &format!("killed in call {call}"));
        for chance in 0..16 {
            let lost = fs.fork();
            lost.reseed(chance);
            lost.lose_power();
            check(&lost, &format!("power lost in call {call}, chance {chance}"));
        }
    }
}

#[test]
fn any_flipped_byte_of_a_compressed_segment_loses_at_most_its_block_and_is_kept() {
    let whole = dead_and_compressed(3);
    let length = whole.bytes(&compressed(1)).unwrap().len();
    let mut blocks = std::collections::BTreeSet::new();
    for byte in 0..length {
        let fs = whole.fork();
        fs.flip(&compressed(1), byte * 8 + byte % 8);
        let spool = open(&fs, 2).unwrap();
        let met = read_all(&spool);
        let missing: Vec<u64> = (1..=120).filter(|one| !met.records.contains(one)).collect();
        assert!(met.records.is_sorted_by(|one, next| one < next), "byte {byte}: {met:?}");
        // The header's block holds no record.
        assert_eq!(
            met.lost.len(),
            usize::from(!missing.is_empty()).max(met.lost.len().min(1)),
            "byte {byte}"
        );
        assert!(missing.len() < 8 && missing.iter().all(|one| *one <= 40), "byte {byte}: {missing:?}");
        for (number, _, why) in &met.lost {
            assert_eq!((*number, *why), (1, Damage::Corrupt), "byte {byte}");
            assert_eq!(fs.list(Path::new("/data/spool/quarantine")).unwrap().len(), 1, "byte {byte}");
        }
        recover_all(&spool).unwrap();
        blocks.insert(missing);
    }
    assert!(blocks.len() > 5, "each block was hit: {blocks:?}");
}

#[test]
fn any_length_that_is_left_of_a_compressed_segment_loses_only_the_blocks_that_were_cut() {
    let whole = dead_and_compressed(3);
    let length = whole.bytes(&compressed(1)).unwrap().len();
    let mut left_before = 0;
    for left in 0..=length {
        let fs = whole.fork();
        fs.damage(&compressed(1), |bytes| bytes.truncate(left));
        let met = read_all(&open(&fs, 2).unwrap());
        let first: Vec<u64> = met.records.iter().copied().filter(|one| *one <= 40).collect();
        assert_eq!(first, (1..=first.len() as u64).collect::<Vec<_>>(), "{left} bytes left");
        assert!(first.len() >= left_before, "{left} bytes left");
        left_before = first.len();
        assert_eq!(met.records.len() - first.len(), 80, "{left} bytes left");
        assert_eq!(met.lost.is_empty(), left == length, "{left} bytes left: {met:?}");
    }
    assert_eq!(left_before, 40);
}

#[test]
fn a_segment_with_damage_stays_plain_and_tells_of_it() {
    let fs = disk(1);
    let (spool, _writer) = written(&fs, 3);
    fs.flip(&plain(1), 8 * 700);
    assert_eq!(compress_all(&spool).unwrap(), 1);
    assert_eq!(names(&fs)[0], segment::file_name(1));
    let met = read_all(&spool);
    assert_eq!((met.records.len(), met.lost.len()), (119, 1));
}

#[test]
fn a_disk_that_refuses_a_read_of_a_compressed_segment_once_costs_nothing() {
    let fs = dead_and_compressed(2);
    let spool = open(&fs, 2).unwrap();
    let calls = {
        let before = fs.calls();
        read_all(&spool);
        fs.calls() - before
    };
    for offset in 1..=calls {
        let mut reader = spool.reader([Cursor::start(boot(1))]);
        let call = fs.calls() + offset;
        fs.faults(|faults| faults.fail_call = Some((call, 5)));
        let mut met = 0;
        loop {
            match reader.next() {
                Ok(Item::Data { header, .. }) => met += u64::from(header.kind == Kind::Record),
                Ok(Item::EndOfLog) => break,
                Ok(other) => panic!("call {offset}: {other:?}"),
                Err(_) => {}
            }
        }
        assert_eq!(met, 80, "call {offset}: a refusal that passes costs nothing");
    }
}
