//! The mapped file of a ring: its layout, and all the `unsafe` there is.
#![allow(unsafe_code)]

use crate::spool::frame;
use memmap2::{MmapMut, MmapOptions};
use rustix::fs::FallocateFlags;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use thiserror::Error;
use uuid::Uuid;

const MAGIC: u64 = u64::from_le_bytes(*b"ONRECRNG");
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 4096;
const INSTANCE_BYTES: usize = 128;

pub(super) const AT_VERSION: usize = 8;
const AT_LANE: usize = 12;
const AT_BOOT: usize = 16;
const AT_KERNEL_BOOT: usize = 32;
pub(super) const AT_DATA_BYTES: usize = 48;
pub(super) const AT_SLOTS: usize = 56;
const AT_SLOT_BYTES: usize = 60;
const AT_INSTANCE: usize = 64;
// The writer's and the reader's counters are on cache lines of their own.
const AT_TAKEN: usize = 512;
const AT_HEAD: usize = 520;
const AT_LOST: usize = 528;
const AT_TAIL: usize = 1024;

/// Bytes of a slot.
pub(super) const SLOT_BYTES: usize = 512;
/// Bytes of an intent at most.
pub const INTENT_BYTES: usize = SLOT_BYTES - INTENT_LENGTH;
/// Bytes of the length before an intent.
pub(super) const INTENT_LENGTH: usize = 4;

/// Why a ring can't be made or opened.
#[derive(Debug, Error)]
pub enum RingError {
    /// A file operation failed.
    #[error("{operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The file is not a ring of this version, or its sizes cannot be right.
    #[error("{path} is not a usable ring: {why}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Sizes of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes for frames; a multiple of 4096.
    pub data_bytes: usize,
    /// Exchanges that can be open at once.
    pub slots: usize,
}

impl Geometry {
    /// Rounds up to whole pages; at least 64 KiB for frames and one slot.
    #[must_use]
    pub fn new(data_bytes: u64, slots: usize) -> Self {
        let data_bytes =
            usize::try_from(data_bytes).unwrap_or(usize::MAX / 4).clamp(64 * 1024, usize::MAX / 4);
        Self { data_bytes: data_bytes.next_multiple_of(4096), slots: slots.clamp(1, 1 << 20) }
    }

    const fn states_at(self) -> usize {
        HEADER_BYTES
    }

    pub(super) const fn slots_at(self) -> usize {
        self.states_at() + (self.slots * 8).next_multiple_of(4096)
    }

    pub(super) const fn data_at(self) -> usize {
        self.slots_at() + (self.slots * SLOT_BYTES).next_multiple_of(4096)
    }

    const fn file_bytes(self) -> usize {
        self.data_at() + self.data_bytes
    }

    /// The largest frame that is taken: a quarter of the ring, so that one
    /// record never decides over all others.
    pub(super) const fn frame_limit(self) -> usize {
        let quarter = self.data_bytes / 4;
        if quarter < frame::MAX_PAYLOAD { quarter } else { frame::MAX_PAYLOAD }
    }
}

/// Whose ring it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The process's life.
    pub boot: Uuid,
    /// The operator's name for the machine or pod.
    pub instance: String,
    /// The lane.
    pub lane: u16,
}

/// The mapped file. See the module's docs for who may touch what.
pub(super) struct Mapping {
    map: MmapMut,
    pub(super) geometry: Geometry,
    /// Slots from here on were never open in this life: nobody has to look at them.
    pub(super) slots_used: AtomicUsize,
}

// SAFETY: the mapping is plain memory; all sharing goes through the protocol of
// the module's docs (atomics for counters and state words, disjoint plain bytes).
unsafe impl Sync for Mapping {}

impl std::fmt::Debug for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mapping").field("geometry", &self.geometry).finish_non_exhaustive()
    }
}

impl Mapping {
    fn pointer(&self, at: usize, length: usize) -> *mut u8 {
        assert!(at.checked_add(length).is_some_and(|end| end <= self.map.len()), "inside the mapping");
        // SAFETY: just checked to lie inside the mapping.
        unsafe { self.map.as_ptr().cast_mut().add(at) }
    }

    fn counter(&self, at: usize) -> &AtomicU64 {
        debug_assert!(at.is_multiple_of(8));
        // SAFETY: inside the mapping, aligned to 8 (the mapping begins at a page), and
        // these words are never accessed but as atomics while both ends live.
        unsafe { AtomicU64::from_ptr(self.pointer(at, 8).cast()) }
    }

    pub(super) fn taken(&self) -> &AtomicU64 {
        self.counter(AT_TAKEN)
    }

    pub(super) fn head(&self) -> &AtomicU64 {
        self.counter(AT_HEAD)
    }

    pub(super) fn lost(&self) -> &AtomicU64 {
        self.counter(AT_LOST)
    }

    pub(super) fn tail(&self) -> &AtomicU64 {
        self.counter(AT_TAIL)
    }

    /// The commit word of the frame at this offset.
    pub(super) fn commit_word(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(frame::ALIGNMENT), "frames are aligned");
        // SAFETY: inside the mapping and aligned to 4, since frames begin at multiples of 8.
        unsafe { AtomicU32::from_ptr(self.pointer(at + 4, 4).cast()) }
    }

    /// The id of the machine's start at which the ring was made.
    pub(super) fn same_machine_start(&self) -> bool {
        self.read(AT_KERNEL_BOOT, 16) == kernel_boot_id()
    }

    pub(super) fn state(&self, slot: usize) -> &AtomicU64 {
        self.counter(self.geometry.states_at() + slot * 8)
    }

    /// Copies bytes in. The caller is the writer and the range is its own.
    pub(super) fn write(&self, at: usize, bytes: &[u8]) {
        let target = self.pointer(at, bytes.len());
        // SAFETY: `target` is valid for the length, and by the protocol nobody reads it now.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) }
    }

    /// Lends bytes. The caller knows by the protocol that nobody writes them meanwhile.
    pub(super) fn read(&self, at: usize, length: usize) -> &[u8] {
        let start = self.pointer(at, length);
        // SAFETY: valid for the length, initialised (the file is zero-filled), not written meanwhile.
        unsafe { std::slice::from_raw_parts(start, length) }
    }

    pub(super) fn create(path: &Path, identity: &Identity, geometry: Geometry) -> Result<Self, RingError> {
        let io = |operation| move |source| RingError::Io { operation, path: path.to_owned(), source };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            // What passes is nobody else's business.
            .mode(0o600)
            .open(path)
            .map_err(io("cannot create the ring"))?;
        let length = geometry.file_bytes();
        // Every page exists before the first request: a full memory file system shows
        // here as an error and not later as a fault in the middle of a request.
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, length as u64)
            .map_err(|error| io("cannot allocate the ring")(error.into()))?;
        let map = map_file(&file, length).map_err(io("cannot map the ring"))?;
        let mapping = Self { map, geometry, slots_used: AtomicUsize::new(0) };
        mapping.write_identity(identity);
        Ok(mapping)
    }

    pub(super) fn anonymous(identity: &Identity, geometry: Geometry) -> io::Result<Self> {
        let map = MmapOptions::new().len(geometry.file_bytes()).map_anon()?;
        let mapping = Self { map, geometry, slots_used: AtomicUsize::new(0) };
        mapping.write_identity(identity);
        Ok(mapping)
    }

    /// Maps a ring that another process has left.
    pub(super) fn open(path: &Path) -> Result<(Self, Identity), RingError> {
        let io = |operation| move |source| RingError::Io { operation, path: path.to_owned(), source };
        let unusable = |why| RingError::Unusable { path: path.to_owned(), why };
        let file =
            OpenOptions::new().read(true).write(true).open(path).map_err(io("cannot open the ring"))?;
        let length = file.metadata().map_err(io("cannot read the size of"))?.len();
        let length = usize::try_from(length).map_err(|_| unusable("it is too large"))?;
        if length < HEADER_BYTES {
            return Err(unusable("it is shorter than its header"));
        }
        let map = map_file(&file, length).map_err(io("cannot map the ring"))?;
        let word = |at: usize| u32::from_le_bytes([map[at], map[at + 1], map[at + 2], map[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        if long(0) != MAGIC {
            return Err(unusable("it does not begin as a ring does"));
        }
        if word(AT_VERSION) != VERSION || word(AT_SLOT_BYTES) as usize != SLOT_BYTES {
            return Err(unusable("it has another version"));
        }
        let (data_bytes, slots) = (long(AT_DATA_BYTES), word(AT_SLOTS) as usize);
        let geometry = Geometry::new(data_bytes, slots);
        if geometry.data_bytes as u64 != data_bytes
            || geometry.slots != slots
            || geometry.file_bytes() != length
        {
            return Err(unusable("its sizes contradict each other"));
        }
        let name_length = usize::from(map[AT_INSTANCE]).min(INSTANCE_BYTES);
        let identity = Identity {
            boot: Uuid::from_slice(&map[AT_BOOT..AT_BOOT + 16]).expect("a UUID has 16 bytes"),
            instance: String::from_utf8_lossy(&map[AT_INSTANCE + 1..AT_INSTANCE + 1 + name_length])
                .into_owned(),
            lane: word(AT_LANE) as u16,
        };
        let slots_used = AtomicUsize::new(slots);
        Ok((Self { map, geometry, slots_used }, identity))
    }

    fn write_identity(&self, identity: &Identity) {
        let name = &identity.instance.as_bytes()[..identity.instance.len().min(INSTANCE_BYTES)];
        self.write(AT_VERSION, &VERSION.to_le_bytes());
        self.write(AT_LANE, &u32::from(identity.lane).to_le_bytes());
        self.write(AT_BOOT, identity.boot.as_bytes());
        self.write(AT_KERNEL_BOOT, &kernel_boot_id());
        self.write(AT_DATA_BYTES, &(self.geometry.data_bytes as u64).to_le_bytes());
        self.write(AT_SLOTS, &(self.geometry.slots as u32).to_le_bytes());
        self.write(AT_SLOT_BYTES, &(SLOT_BYTES as u32).to_le_bytes());
        self.write(AT_INSTANCE, &[name.len() as u8]);
        self.write(AT_INSTANCE + 1, name);
        // The magic comes last: a ring whose making was cut short is not believed.
        self.counter(0).store(MAGIC, Ordering::Release);
    }
}

fn map_file(file: &File, length: usize) -> io::Result<MmapMut> {
    // SAFETY: the file was made or checked by this module and is not truncated while
    // mapped: the process that made it holds the boot's lock, and whoever adopts it
    // does so after that lock is free.
    unsafe { MmapOptions::new().len(length).map_mut(file) }
}

/// The id of this start of the machine, 16 bytes; zeros where the kernel does not tell.
fn kernel_boot_id() -> [u8; 16] {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .ok()
        .and_then(|text| Uuid::parse_str(text.trim()).ok())
        .map_or([0; 16], Uuid::into_bytes)
}
