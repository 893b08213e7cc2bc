//! The history of one destination: a log of JSON lines in small files, bounded in time and
//! size.
//!
//! ```text
//! history/{destination}/{first number:020}.ndjson
//! ```
//! Each line is `{"number", "time", "event", …}`, numbered without a hole. A line that a
//! crash has cut is no JSON and is passed over; what is written after it begins on a line of
//! its own. The oldest file goes when all of it is older than [`KEPT_DAYS`], or when there are
//! too many.

use crate::format::time_text;
use serde_json::{Map, Value};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use thiserror::Error;

/// Entries are kept for so many days.
pub const KEPT_DAYS: u64 = 180;
/// A file is followed by the next at this size.
const FILE_BYTES: u64 = 256 * 1024;
/// At most so many files: 16 MiB.
const MOST_FILES: usize = 64;
/// The longest line; what a store says is cut long before.
const MOST_LINE: usize = 8 * 1024;
const DAY: u64 = 86_400_000_000;

/// Why a history can't be used.
#[derive(Debug, Error)]
#[error("cannot {operation} {path}")]
pub struct HistoryError {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

fn failed<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> HistoryError + use<'a> {
    move |source| HistoryError { operation, path: path.to_owned(), source }
}

/// Some entries, newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Value>,
    /// The `before` of the page after this one; `None`: there is none.
    pub next: Option<u64>,
}

/// A history that one thread writes and any number read.
#[derive(Debug)]
pub struct History {
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The number of the next entry.
    next: u64,
    /// First numbers of the files, oldest first.
    files: Vec<u64>,
    newest: Option<File>,
    newest_bytes: u64,
    /// The newest file may end in the middle of a line.
    torn: bool,
}

impl History {
    /// Opens the history in this folder, which is made if it is missing.
    ///
    /// # Errors
    /// [`HistoryError`] when the folder can't be made or read.
    pub fn open(folder: &Path) -> Result<Self, HistoryError> {
        fs::create_dir_all(folder).map_err(failed("make", folder))?;
        let mut files: Vec<u64> = fs::read_dir(folder)
            .map_err(failed("list", folder))?
            .filter_map(|entry| number_of(&entry.ok()?.path()))
            .collect();
        files.sort_unstable();
        let mut state = State { next: 0, files, newest: None, newest_bytes: 0, torn: false };
        if let Some(&first) = state.files.last() {
            let path = path_of(folder, first);
            let bytes = fs::read(&path).map_err(failed("read", &path))?;
            let lines = bytes.split_inclusive(|byte| *byte == b'\n');
            let told = lines.clone().filter_map(|line| read_line(line)?["number"].as_u64());
            // Lines that can't be read had numbers too.
            let counted = first + lines.count() as u64;
            state.next = told.max().map_or(counted, |last| counted.max(last + 1));
            state.torn = bytes.last().is_some_and(|byte| *byte != b'\n');
            state.newest_bytes = bytes.len() as u64;
            let newest = OpenOptions::new().append(true).open(&path).map_err(failed("open", &path))?;
            state.newest = Some(newest);
        }
        Ok(Self { folder: folder.to_owned(), state: Mutex::new(state) })
    }

    /// Appends an entry of this moment (Unix microseconds); it is on disk when this returns.
    /// `members` are put after `number`, `time` and `event`.
    ///
    /// # Errors
    /// [`HistoryError`]; the entry is then not there, and the next one can be tried.
    pub fn append(&self, now: u64, event: &str, members: Map<String, Value>) -> Result<u64, HistoryError> {
        let mut state = self.lock();
        if state.newest.is_none() || state.newest_bytes >= FILE_BYTES {
            self.begin_file(&mut state, now)?;
        }
        let mut entry = Map::new();
        entry.insert("number".to_owned(), state.next.into());
        entry.insert("time".to_owned(), time_text(now).into());
        entry.insert("event".to_owned(), event.into());
        entry.extend(members);
        let mut line = Value::Object(entry).to_string();
        if line.len() > MOST_LINE {
            let short =
                [("number", state.next.into()), ("time", time_text(now).into()), ("event", event.into())];
            let short = short.into_iter().map(|(key, value): (_, Value)| (key.to_owned(), value));
            line = Value::Object(short.collect()).to_string();
        }
        line.push('\n');
        if state.torn {
            line.insert(0, '\n');
        }
        let path = path_of(&self.folder, state.files.last().copied().unwrap_or_default());
        let Some(newest) = state.newest.as_mut() else { return Ok(state.next) };
        let written = newest.write_all(line.as_bytes()).and_then(|()| newest.sync_data());
        state.torn = written.is_err();
        written.map_err(failed("write", &path))?;
        state.newest_bytes += line.len() as u64;
        state.next += 1;
        Ok(state.next - 1)
    }

    /// The newest entries before this number, newest first; `now` says which are too old.
    ///
    /// # Errors
    /// [`HistoryError`] when a file can't be read.
    pub fn page(&self, before: Option<u64>, limit: usize, now: u64) -> Result<Page, HistoryError> {
        let files = self.lock().files.clone();
        let before = before.unwrap_or(u64::MAX);
        let oldest = time_text(now.saturating_sub(KEPT_DAYS * DAY));
        let mut entries: Vec<Value> = Vec::new();
        for first in files.into_iter().rev().filter(|first| *first < before) {
            let path = path_of(&self.folder, first);
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                // It was too old, and went meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(failed("read", &path)(error)),
            };
            let lines = bytes.split(|byte| *byte == b'\n').rev().filter_map(read_line);
            let wanted = lines.filter(|entry| {
                let number = entry["number"].as_u64().unwrap_or(u64::MAX);
                number < before && entry["time"].as_str().is_some_and(|time| time >= oldest.as_str())
            });
            entries.extend(wanted.take(limit + 1 - entries.len()));
            if entries.len() > limit {
                break;
            }
        }
        let more = entries.len() > limit;
        entries.truncate(limit);
        let next = entries.last().filter(|_| more).and_then(|entry| entry["number"].as_u64());
        Ok(Page { entries, next })
    }

    fn begin_file(&self, state: &mut State, now: u64) -> Result<(), HistoryError> {
        let path = path_of(&self.folder, state.next);
        let file = OpenOptions::new().append(true).create(true).open(&path).map_err(failed("make", &path))?;
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed("sync", &self.folder))?;
        if state.files.last() != Some(&state.next) {
            state.files.push(state.next);
        }
        (state.newest, state.newest_bytes, state.torn) = (Some(file), 0, false);
        self.remove_old(state, now);
        Ok(())
    }

    /// Removes the oldest files. What can't be removed goes another time.
    fn remove_old(&self, state: &mut State, now: u64) {
        let oldest = time_text(now.saturating_sub(KEPT_DAYS * DAY));
        while state.files.len() > 1 {
            // All of a file is older than the first entry of the next one.
            let next = fs::read(path_of(&self.folder, state.files[1])).unwrap_or_default();
            let begins = next.split(|byte| *byte == b'\n').find_map(read_line);
            let is_old =
                begins.is_some_and(|entry| entry["time"].as_str().is_some_and(|t| t < oldest.as_str()));
            if !is_old && state.files.len() <= MOST_FILES {
                return;
            }
            if fs::remove_file(path_of(&self.folder, state.files[0])).is_err() {
                return;
            }
            state.files.remove(0);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_line(line: &[u8]) -> Option<Value> {
    serde_json::from_slice(line).ok().filter(Value::is_object)
}

fn path_of(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.ndjson"))
}

fn number_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".ndjson")?;
    (name.len() == 20).then(|| name.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: u64 = 1_775_744_531_000_000;

    fn append(history: &History, now: u64, event: &str) -> u64 {
        let Value::Object(members) = json!({ "state": "failing", "words": "x".repeat(200) }) else {
            unreachable!()
        };
        history.append(now, event, members).unwrap()
    }

    fn numbers(page: &Page) -> Vec<u64> {
        page.entries.iter().map(|entry| entry["number"].as_u64().unwrap()).collect()
    }

    #[test]
    fn pages_follow_each_other_without_a_hole_also_over_files_and_a_new_start() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path()).unwrap();
        assert_eq!(history.page(None, 10, NOW).unwrap(), Page::default());
        (0..2500).for_each(|number| assert_eq!(append(&history, NOW + number, "state"), number));
        assert!(fs::read_dir(folder.path()).unwrap().count() >= 3);
        let history = History::open(folder.path()).unwrap();
        assert_eq!(append(&history, NOW, "state"), 2500);
        let (mut before, mut all) = (None, Vec::new());
        loop {
            let page = history.page(before, 99, NOW).unwrap();
            all.extend(numbers(&page));
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(all, (0..=2500).rev().collect::<Vec<_>>());
    }

    #[test]
    fn a_line_that_a_crash_has_cut_is_passed_over_wherever_it_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path()).unwrap();
        append(&history, NOW, "first");
        append(&history, NOW, "second");
        let path = path_of(folder.path(), 0);
        let whole = fs::read(&path).unwrap();
        let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for cut in first..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let history = History::open(folder.path()).unwrap();
            let number = append(&history, NOW, "third");
            let page = history.page(None, 10, NOW).unwrap();
            // Without its line end alone the second line is still whole.
            let second = cut == whole.len() - 1;
            let expected = if second { vec![number, 1, 0] } else { vec![number, 0] };
            assert_eq!(numbers(&page), expected, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_older_than_180_days_is_not_shown_and_its_files_go() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path()).unwrap();
        for _ in 0..1500 {
            append(&history, NOW, "old");
        }
        let later = NOW + (KEPT_DAYS + 1) * DAY;
        assert_eq!(history.page(None, 10, later).unwrap(), Page::default());
        for _ in 0..1500 {
            append(&history, later, "new");
        }
        assert!(!path_of(folder.path(), 0).exists());
        let page = history.page(None, 5000, later).unwrap();
        assert_eq!((page.entries.len(), page.next), (1500, None));
    }

    #[test]
    fn it_stays_bounded_however_much_happens_and_however_long_the_words_are() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path()).unwrap();
        for number in 0..6000u64 {
            let words: Value = "w".repeat(7000).into();
            let members = Map::from_iter([("words".to_owned(), words)]);
            history.append(NOW + number, "state", members).unwrap();
        }
        let bytes: u64 =
            fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
        assert!(bytes <= (MOST_FILES as u64 + 1) * (FILE_BYTES + MOST_LINE as u64), "{bytes}");
        let huge = Map::from_iter([("words".to_owned(), Value::from("w".repeat(1 << 20)))]);
        let number = history.append(NOW, "state", huge).unwrap();
        let page = history.page(None, 1, NOW).unwrap();
        assert_eq!((numbers(&page), page.entries[0].get("words")), (vec![number], None));
    }
}
