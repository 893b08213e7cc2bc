//! Reads a compressed segment as if it were not: by the places that its bytes had before.
//!
//! Blocks are found one after the other, as far as they are asked for; behind damage the next
//! header is searched. The memory that it takes is one block, and 40 bytes for each.

use std::io;
use std::ops::Range;

use memchr::memmem;

use super::block::{self, Header, LARGEST};
use super::fs::{File, read_full_at};
use super::segment::Id;

/// Bytes looked through at once for the next header.
const SEARCH: usize = 64 * 1024;
/// So many bytes of a damaged block are given to whoever keeps them, at most.
const KEPT: u64 = LARGEST as u64;

/// An open compressed segment.
#[derive(Debug)]
pub(super) struct Compressed {
    id: Id,
    file: Box<dyn File>,
    /// Bytes of the segment, once a block has said so.
    total: Option<u64>,
    /// What was found so far: without a hole between them, from 0 on.
    parts: Vec<Part>,
    /// Bytes of the file that were looked through.
    scanned: u64,
    /// The number and the bytes of the part that was read last.
    held: Option<(usize, Vec<u8>)>,
}

#[derive(Clone, Debug)]
struct Part {
    plain: Range<u64>,
    stored: Range<u64>,
    /// The check value of the stored bytes; `None` where they are damaged.
    check: Option<u32>,
}

impl Compressed {
    pub(super) fn new(file: Box<dyn File>, id: Id) -> Self {
        Self { id, file, total: None, parts: Vec::new(), scanned: 0, held: None }
    }

    /// Bytes of the segment before it was compressed; of the file, if no block can be read.
    pub(super) fn length(&mut self) -> io::Result<u64> {
        while self.total.is_none() && self.find()? {}
        match self.total {
            Some(total) => Ok(total),
            None => self.file.length(),
        }
    }

    pub(super) fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Reads some bytes from `offset`; 0 at the end. A block that is damaged is `InvalidData`.
    pub(super) fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let Some(number) = self.part(offset)? else { return Ok(0) };
        if self.held.as_ref().is_none_or(|(held, _)| *held != number) {
            // The one that is held stays until this one is there: it is asked for again after a failure.
            let bytes = self.unpack(number)?;
            self.held = Some((number, bytes));
        }
        let Some((_, bytes)) = &self.held else { return Ok(0) };
        let from = usize::try_from(offset - self.parts[number].plain.start).unwrap_or(usize::MAX);
        let bytes = bytes.get(from..).unwrap_or_default();
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    /// Where the block ends that `offset` lies in, as far as that is known: frames begin there.
    pub(super) fn block_end(&self, offset: u64) -> Option<u64> {
        let part = self.parts.iter().rev().find(|part| part.plain.contains(&offset))?;
        Some(part.plain.end)
    }

    /// If `offset` lies in a block that was found damaged: where that ends, and its bytes as
    /// they are in the file, as far as the disk gives them.
    pub(super) fn damaged(&self, offset: u64) -> Option<(u64, Vec<u8>)> {
        let damaged = |part: &&Part| part.check.is_none() && part.plain.contains(&offset);
        let part = self.parts.iter().rev().find(damaged)?;
        let length = (part.stored.end - part.stored.start).min(KEPT);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        let read = read_full_at(&*self.file, &mut bytes, part.stored.start).unwrap_or(0);
        bytes.truncate(read);
        Some((part.plain.end, bytes))
    }

    fn part(&mut self, offset: u64) -> io::Result<Option<usize>> {
        loop {
            if self.parts.last().is_some_and(|part| part.plain.end > offset) {
                let number = self.parts.partition_point(|part| part.plain.end <= offset);
                return Ok(Some(number));
            }
            if !self.find()? {
                return Ok(None);
            }
        }
    }

    /// Looks for one more block; `false` when there is none.
    fn find(&mut self) -> io::Result<bool> {
        let from = self.parts.last().map_or(0, |part| part.plain.end);
        if self.total.is_some_and(|total| from >= total) {
            return Ok(false);
        }
        let end = self.file.length()?;
        let mut at = self.scanned;
        let found = match self.header_at(at, from)? {
            Some(header) => Some(header),
            None => {
                let found = self.search(at + 1, from)?;
                at = found.as_ref().map_or(end.max(at), |(place, _)| *place);
                found.map(|(_, header)| header)
            }
        };
        let hole = found.as_ref().map_or(self.total.unwrap_or(u64::MAX), |header| header.plain.start);
        if hole > from {
            self.parts.push(Part { plain: from..hole, stored: self.scanned..at, check: None });
            self.scanned = at;
        }
        let Some(header) = found else { return Ok(hole > from) };
        let begin = at + block::HEADER as u64;
        let stored = begin..begin + u64::from(header.stored);
        self.total.get_or_insert(header.total);
        self.scanned = stored.end;
        self.parts.push(Part { plain: header.plain, stored, check: Some(header.check) });
        Ok(true)
    }

    /// The header of a block that stands here and holds nothing that is known already.
    fn header_at(&self, at: u64, from: u64) -> io::Result<Option<Header>> {
        let mut bytes = [0; block::HEADER];
        let read = read_full_at(&*self.file, &mut bytes, at)?;
        Ok(Header::decode(&bytes[..read], self.id).filter(|header| header.plain.start >= from))
    }

    fn search(&self, mut at: u64, from: u64) -> io::Result<Option<(u64, Header)>> {
        let mut bytes = vec![0; SEARCH];
        loop {
            let read = read_full_at(&*self.file, &mut bytes, at)?;
            for found in memmem::find_iter(&bytes[..read], block::MAGIC) {
                let place = at + found as u64;
                if let Some(header) = self.header_at(place, from)? {
                    return Ok(Some((place, header)));
                }
            }
            if read < bytes.len() {
                return Ok(None);
            }
            at += (read - block::MAGIC.len() + 1) as u64;
        }
    }

    fn unpack(&mut self, number: usize) -> io::Result<Vec<u8>> {
        let Part { plain, stored, check } = self.parts[number].clone();
        let length = usize::try_from(plain.end - plain.start).unwrap_or(usize::MAX);
        if let Some(check) = check {
            let mut bytes = vec![0; usize::try_from(stored.end - stored.start).unwrap_or(0)];
            let read = read_full_at(&*self.file, &mut bytes, stored.start)?;
            if read == bytes.len()
                && crc32fast::hash(&bytes) == check
                && let Ok(plain) = zstd::bulk::decompress(&bytes, length)
                && plain.len() == length
            {
                return Ok(plain);
            }
            self.parts[number].check = None;
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "a block of a compressed segment is damaged"))
    }
}
