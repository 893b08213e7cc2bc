//! Where the rings lie and how they are made.

use crate::capture::RingOptions;
use crate::capture::commit::Commits;
use crate::capture::ring::{self, Geometry, Identity, RingError, RingReader, RingWriter};
use crate::error_chain::Chain;
use crate::journal;
use crate::record::SELF_LANE;
use crate::recorder::LaneEnd;
use crate::spool::Spool;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// Memory that outlives a process on every Linux.
const SHARED_MEMORY: &str = "/dev/shm";

/// The rings of this boot.
#[derive(Debug)]
pub(super) struct Rings {
    /// The directory of all boots' rings.
    pub(super) dir: PathBuf,
    /// Both ends of each lane's ring.
    pub(super) ends: Vec<(RingWriter, RingReader)>,
    /// Both ends of the ring of the gateway's own records.
    pub(super) own: (RingWriter, RingReader),
    /// False where they are in anonymous memory, which ends with the process.
    pub(super) outlive_process: bool,
}

/// Makes one ring a lane. Where the directory can't be made or has no room, the rings are
/// anonymous memory, and the weaker class is told.
pub(super) fn make(
    options: &RingOptions,
    spool_id: Uuid,
    boot: Uuid,
    instance: &str,
    lanes: usize,
    slots: usize,
) -> io::Result<Rings> {
    let dir = options
        .dir
        .clone()
        .unwrap_or_else(|| Path::new(SHARED_MEMORY).join(format!("onrecord-{}", spool_id.simple())));
    let geometry = Geometry::new(options.bytes, slots);
    let identity = |lane: usize| Identity {
        boot,
        instance: instance.to_owned(),
        lane: u16::try_from(lane).unwrap_or(u16::MAX - 1),
    };
    let own = Identity { lane: SELF_LANE, ..identity(0) };
    let own_geometry = Geometry::new(journal::RING_BYTES, 1);
    let boot_dir = dir.join(boot.to_string());
    let files = make_files(&boot_dir, geometry, lanes, identity).and_then(|ends| {
        let own = ring::create(&boot_dir.join("lane-self.ring"), &own, own_geometry)?;
        Ok((ends, own))
    });
    match files {
        Ok((ends, own)) => Ok(Rings { dir, ends, own, outlive_process: true }),
        Err(error) => {
            tracing::warn!(
                error = %Chain(&error),
                "rings cannot be made on shared memory: what is captured and not yet in the spool ends with the process"
            );
            remove(&dir, boot);
            let ends = (0..lanes).map(|lane| ring::anonymous(&identity(lane), geometry));
            let ends = ends.collect::<io::Result<_>>()?;
            Ok(Rings { dir, ends, own: ring::anonymous(&own, own_geometry)?, outlive_process: false })
        }
    }
}

/// The recorder's ends of the lanes, that of its own records last, and what each worker hears from it.
pub(super) fn lane_ends(readers: Vec<RingReader>, own: RingReader) -> (Vec<LaneEnd>, Vec<Arc<Commits>>) {
    let signal = Arc::default();
    let commits: Vec<_> = readers.iter().map(|_| Commits::new(&signal)).collect();
    let ends = (0u16..).zip(readers.into_iter().zip(&commits));
    let lanes = ends.map(|(number, (ring, commits))| LaneEnd { number, ring, commits: Arc::clone(commits) });
    let own = LaneEnd { number: SELF_LANE, ring: own, commits: Commits::new(&signal) };
    (lanes.chain([own]).collect(), commits)
}

fn make_files(
    dir: &Path,
    geometry: Geometry,
    lanes: usize,
    identity: impl Fn(usize) -> Identity,
) -> Result<Vec<(RingWriter, RingReader)>, RingError> {
    let created = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    created.map_err(|source| RingError::Io {
        operation: "cannot create the ring directory",
        path: dir.to_owned(),
        source,
    })?;
    (0..lanes)
        .map(|lane| ring::create(&dir.join(format!("lane-{lane:02}.ring")), &identity(lane), geometry))
        .collect()
}

/// The file in a boot's folder of the spool that says where its rings lie.
const PLACE_FILE: &str = "rings";

/// Writes down where this boot's rings lie, so that a successor with another `ring.dir`
/// finds them.
pub(super) fn remember(spool: &Spool, boot: Uuid, dir: &Path) {
    let path = spool.boot_dir(boot).join(PLACE_FILE);
    if let Err(error) = std::fs::write(&path, dir.as_os_str().as_encoded_bytes()) {
        tracing::warn!(path = %path.display(), error = %Chain(&error), "cannot write down where the rings lie");
    }
}

/// Where the rings of an earlier boot lie; `usual` where that boot did not say.
pub(super) fn place_of(spool: &Spool, boot: Uuid, usual: &Path) -> PathBuf {
    match std::fs::read(spool.boot_dir(boot).join(PLACE_FILE)) {
        Ok(bytes) if !bytes.is_empty() => PathBuf::from(OsString::from_vec(bytes)),
        _ => usual.to_owned(),
    }
}

/// Removes a boot's rings, when all that was in them is in the spool.
pub(super) fn remove(dir: &Path, boot: Uuid) {
    let path = dir.join(boot.to_string());
    if let Err(error) = std::fs::remove_dir_all(&path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), error = %Chain(&error), "cannot remove the rings");
    }
    // Only when it is empty: another process may have rings here.
    let _ = std::fs::remove_dir(dir);
}
