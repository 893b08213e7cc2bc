//! `[[destination]]` of type `dir`: who may read what is put there.

use super::{Item, Table};
use crate::config::reference::{Absent, Key, Kind};
use crate::deliver::DirOptions;
use std::path::Path;

pub(super) const FILE_MODE: Key = Key {
    name: "file_mode",
    kind: Kind::Other("octal number in quotes"),
    absent: Absent::Unset("0666 less the umask of the process"),
    doc: "`dir`: the permissions of objects, such as `\"0640\"`, whatever the umask.",
};
pub(super) const FOLDER_MODE: Key = Key {
    name: "folder_mode",
    kind: Kind::Other("octal number in quotes"),
    absent: Absent::Unset("0777 less the umask of the process"),
    doc: "`dir`: the permissions of folders that are made, such as `\"0750\"`, whatever the umask. Folders that are there keep theirs.",
};

pub(super) fn read(table: &Table<'_>, path: &Path) -> DirOptions {
    let mut options = DirOptions::new(path);
    options.file_mode = table.take("file_mode").and_then(|item| mode(&item, 0o600));
    options.folder_mode = table.take("folder_mode").and_then(|item| mode(&item, 0o700));
    options
}

/// A mode in which the gateway itself keeps what it `needs`.
fn mode(item: &Item<'_>, needs: u32) -> Option<u32> {
    const HINT: &str = "write it like \"0640\" for objects, \"0750\" for folders";
    let text = item.text()?.value;
    let digits = (3..=4).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let Some(mode) = u32::from_str_radix(&text, 8).ok().filter(|_| digits) else {
        return item.refuse("is no mode of three or four octal digits", Some(HINT));
    };
    if mode & needs != needs {
        return item.refuse("would keep the gateway itself out", Some(HINT));
    }
    Some(mode)
}
