//! Reads the logs of several boots, one behind the other.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::cursor::{Cursor, Item, ReadError};
use super::reader::{BootReader, Place, Step};

/// A destination's way through the log: the boots in the order of their ids,
/// which is the order of their births, each from its own cursor on.
#[derive(Debug)]
pub struct Reader {
    boots: Vec<BootReader>,
    turn: usize,
}

impl Reader {
    pub(super) fn new(place: &Place, cursors: impl IntoIterator<Item = Cursor>) -> Self {
        let cursors: BTreeMap<Uuid, Cursor> =
            cursors.into_iter().map(|cursor| (cursor.boot, cursor)).collect();
        let boots = cursors.into_values().map(|from| BootReader::new(place.clone(), from)).collect();
        Self { boots, turn: 0 }
    }

    /// The next item. After [`Item::EndOfLog`] the round begins again at the
    /// first boot, since a boot that ended can have got more in the meantime.
    ///
    /// # Errors
    /// [`ReadError`]; ask again.
    #[expect(clippy::should_implement_trait, reason = "an item borrows from the reader")]
    pub fn next(&mut self) -> Result<Item<'_>, ReadError> {
        let boots = self.boots.len();
        while let Some(boot) = self.boots.get_mut(self.turn) {
            match boot.step()? {
                Step::End => {
                    // The last one is most often the one that is being written: it keeps its place.
                    if self.turn + 1 < boots {
                        boot.rest();
                    }
                    self.turn += 1;
                }
                step => return Ok(self.boots[self.turn].item(step)),
            }
        }
        self.turn = 0;
        Ok(Item::EndOfLog)
    }

    /// Where the reader stands in each boot.
    pub fn cursors(&self) -> impl Iterator<Item = Cursor> + '_ {
        self.boots.iter().map(BootReader::cursor)
    }

    /// Leaves a boot out from now on, as its folder goes.
    pub fn forget(&mut self, boot: Uuid) {
        self.boots.retain(|reader| reader.cursor().boot != boot);
        self.turn = 0;
    }
}
