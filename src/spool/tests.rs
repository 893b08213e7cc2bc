//! What the spool promises, tried against a disk that breaks in every way.

mod compaction;
mod crash;
mod damage;
mod model;
mod opening;

use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::frame::{self, Kind};
use super::fs::Fs;
use super::sim::SimFs;
use super::*;

const DIR: &str = "/data/spool";

fn disk(seed: u64) -> SimFs {
    let fs = SimFs::new(seed);
    fs.create_dir(Path::new("/data")).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    fs
}

fn options() -> Options {
    Options { dir: DIR.into(), ..Options::default() }
}

fn boot(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn open(fs: &SimFs, number: u128) -> Result<Spool, OpenError> {
    Spool::open(&options(), Arc::new(fs.clone()), boot(number), "gw-1")
}

/// Records with these sequences; the payload's length varies with the sequence.
fn records(sequences: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let mut out = Vec::new();
    for sequence in sequences {
        let payload = vec![b'x'; usize::try_from(sequence * 7 % 50).unwrap()];
        frame::append(&mut out, Kind::Record, 1, 0, sequence, &payload);
    }
    out
}

fn mark(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    frame::append(&mut out, Kind::Mark, 1, 0, 0, text.as_bytes());
    out
}

/// What a reader met.
#[derive(Debug, Default, PartialEq)]
struct Met {
    records: Vec<u64>,
    lost: Vec<(u64, std::ops::Range<u64>, Damage)>,
    missing: Vec<std::ops::Range<u64>>,
}

impl Met {
    fn read(&mut self, reader: &mut Reader, at_most: usize) {
        for _ in 0..at_most {
            match reader.next().unwrap() {
                Item::Data { header, payload, instance, .. } => {
                    assert_eq!(instance, "gw-1");
                    if header.kind == Kind::Record {
                        assert_eq!(payload.len() as u64, header.sequence * 7 % 50);
                        self.records.push(header.sequence);
                    }
                }
                Item::Lost { segment, bytes, why, .. } => self.lost.push((segment, bytes, why)),
                Item::Missing { segments, .. } => self.missing.push(segments),
                Item::EndOfLog => return,
            }
        }
    }
}

/// Compresses every sealed segment, in small blocks; how many those were.
fn compress_all(spool: &Spool) -> Result<usize, CompactError> {
    let mut compactor = Compactor::new(std::time::Duration::ZERO).with_blocks_of(256);
    let mut count = 0;
    while compactor.step(spool, u64::MAX, &std::sync::atomic::AtomicBool::new(false))?.is_some() {
        count += 1;
    }
    Ok(count)
}

fn read_all(spool: &Spool) -> Met {
    let mut met = Met::default();
    met.read(&mut spool.reader(spool.boots().into_iter().map(Cursor::start)), usize::MAX);
    met
}

/// Takes up every boot that was left and closes it with a mark of its own.
fn recover_all(spool: &Spool) -> Result<Vec<u64>, Box<dyn std::error::Error>> {
    let mut after_mark = Vec::new();
    for boot in spool.leftovers() {
        let mut recovered = spool.recover_boot(boot, |header, _| {
            if header.kind == Kind::Record {
                after_mark.push(header.sequence);
            }
        })?;
        recovered.writer.rotate(&mark("closed"), 9)?;
        recovered.writer.close()?;
    }
    Ok(after_mark)
}
