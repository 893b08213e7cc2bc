//! Which segments can go, and which must. Pure: facts in, a plan out.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::cursor::Cursor;
use super::segment::Id;
use super::tail::Tail;

/// The bound where none is set: half of what is free at the first start, at most this.
pub const DEFAULT_BOUND: u64 = 10 * 1024 * 1024 * 1024;

/// A segment's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Which one.
    pub id: Id,
    /// Bytes that it takes on the disk.
    pub bytes: u64,
    /// Bytes that it holds: more than it takes, if it is compressed.
    pub plain: u64,
    /// Unix microseconds; 0 where its header cannot be read.
    pub created: u64,
}

/// What to remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Every destination has passed these. Oldest first.
    pub passed: Vec<Id>,
    /// Somebody still lacks these; they go all the same, for the bound, once
    /// what they hold has been declared. Oldest first.
    pub release: Vec<Id>,
    /// Boots which are closed and passed: their folders go, with what is in them.
    pub boots: Vec<Uuid>,
}

/// How much the segments may take at the first start with so much room.
#[must_use]
pub fn default_bound(free: u64) -> u64 {
    (free / 2).min(DEFAULT_BOUND)
}

/// Plans what goes.
///
/// `tails` are the boots that this process holds; others are left alone.
/// `destinations` are the cursors of each; a boot without a cursor has not been
/// read. Without destinations nothing is passed. `bound` is in bytes; to make
/// room for more, give less.
#[must_use]
pub fn plan(
    segments: &[Segment],
    tails: &BTreeMap<Uuid, Tail>,
    destinations: &[BTreeMap<Uuid, Cursor>],
    bound: u64,
) -> Plan {
    let mut segments: Vec<&Segment> = segments.iter().collect();
    segments.sort_unstable_by_key(|segment| segment.id);
    let passed_by_all = |id: Id, tail: &Tail| {
        let passed = |cursors: &BTreeMap<Uuid, Cursor>| {
            cursors.get(&id.boot).is_some_and(|cursor| has_passed(cursor, id.number, tail))
        };
        !destinations.is_empty() && destinations.iter().all(passed)
    };
    let mut plan = Plan::default();
    let mut left: u64 = segments.iter().map(|segment| segment.bytes).sum();
    let mut staying = Vec::new();
    for segment in segments {
        let id = segment.id;
        let going = tails.get(&id.boot).is_some_and(|tail| is_sealed(id, tail) && passed_by_all(id, tail));
        match going {
            true => {
                plan.passed.push(id);
                left -= segment.bytes;
            }
            false => staying.push(segment),
        }
    }
    for segment in &staying {
        let sealed = tails.get(&segment.id.boot).is_some_and(|tail| is_sealed(segment.id, tail));
        if left > bound && sealed {
            plan.release.push(segment.id);
            left -= segment.bytes;
        }
    }
    let released: BTreeSet<Id> = plan.release.iter().copied().collect();
    let kept: BTreeSet<Uuid> =
        staying.iter().filter(|s| !released.contains(&s.id)).map(|s| s.id.boot).collect();
    plan.boots = tails
        .iter()
        .filter(|(boot, tail)| {
            let end = Id { boot: **boot, number: tail.segment };
            tail.closed && !kept.contains(*boot) && (tail.segment == 0 || passed_by_all(end, tail))
        })
        .map(|(boot, _)| *boot)
        .collect();
    plan
}

/// The segment that is being written stays, whatever happens.
fn is_sealed(id: Id, tail: &Tail) -> bool {
    id.number < tail.segment || (id.number == tail.segment && tail.closed)
}

fn has_passed(cursor: &Cursor, number: u64, tail: &Tail) -> bool {
    let at_end = tail.closed && tail.segment == number && cursor.offset >= tail.length;
    cursor.segment > number || (cursor.segment == number && at_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: Uuid = Uuid::from_u128(1);
    const LATER: Uuid = Uuid::from_u128(2);

    fn id(boot: Uuid, number: u64) -> Id {
        Id { boot, number }
    }

    fn segments(boot: Uuid, numbers: std::ops::RangeInclusive<u64>) -> Vec<Segment> {
        numbers
            .map(|number| Segment { id: id(boot, number), bytes: 100, plain: 100, created: number })
            .collect()
    }

    fn at(boot: Uuid, segment: u64, offset: u64) -> BTreeMap<Uuid, Cursor> {
        BTreeMap::from([(boot, Cursor { boot, segment, offset })])
    }

    fn tail(segment: u64, closed: bool) -> Tail {
        Tail { segment, length: 100, closed }
    }

    #[test]
    fn a_segment_goes_when_the_slowest_destination_has_passed_it() {
        let tails = BTreeMap::from([(BOOT, tail(3, false))]);
        let plan = plan(&segments(BOOT, 1..=3), &tails, &[at(BOOT, 3, 100), at(BOOT, 2, 40)], 1000);
        assert_eq!(plan, Plan { passed: vec![id(BOOT, 1)], ..Plan::default() });
    }

    #[test]
    fn without_a_destination_or_a_cursor_nothing_is_passed() {
        let tails = BTreeMap::from([(BOOT, tail(3, false))]);
        for destinations in [vec![], vec![BTreeMap::new()]] {
            assert_eq!(plan(&segments(BOOT, 1..=3), &tails, &destinations, 1000), Plan::default());
        }
    }

    #[test]
    fn over_the_bound_the_oldest_is_released_but_never_the_one_that_is_written() {
        let tails = BTreeMap::from([(BOOT, tail(2, true)), (LATER, tail(2, false))]);
        let all = [segments(LATER, 1..=2), segments(BOOT, 1..=2)].concat();
        let planned = plan(&all, &tails, &[BTreeMap::new()], 250);
        assert_eq!(planned.release, [id(BOOT, 1), id(BOOT, 2)]);
        let planned = plan(&all, &tails, &[BTreeMap::new()], 0);
        assert_eq!(planned.release, [id(BOOT, 1), id(BOOT, 2), id(LATER, 1)]);
    }

    #[test]
    fn a_closed_boot_goes_once_its_end_is_passed() {
        let tails = BTreeMap::from([(BOOT, tail(2, true))]);
        let planned = plan(&segments(BOOT, 2..=2), &tails, &[at(BOOT, 2, 99)], 1000);
        assert_eq!(planned, Plan::default());
        let planned = plan(&segments(BOOT, 2..=2), &tails, &[at(BOOT, 2, 100)], 1000);
        assert_eq!(planned, Plan { passed: vec![id(BOOT, 2)], boots: vec![BOOT], ..Plan::default() });
    }

    #[test]
    fn a_boot_of_another_process_is_left_alone() {
        let planned = plan(&segments(BOOT, 1..=3), &BTreeMap::new(), &[at(BOOT, 9, 0)], 0);
        assert_eq!(planned, Plan::default());
    }
}
