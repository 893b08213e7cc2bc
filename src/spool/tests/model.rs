//! Random lives by seed, against a list of what was written.

use super::*;

/// What must come out: sequences, and which of them a loss of power cannot take.
#[derive(Debug, Default)]
struct Model {
    next: u64,
    /// In the log, in order.
    written: Vec<u64>,
    /// Not in the log, but a death before the next sync may leave some of them there.
    refused: Vec<u64>,
    /// How many of `written` are durable.
    durable: usize,
}

/// What a destination knows: it keeps its cursors whatever happens to the rest.
#[derive(Debug, Default)]
struct Destination {
    cursors: std::collections::BTreeMap<Uuid, Cursor>,
    met: Met,
}

impl Destination {
    fn read(&mut self, spool: &Spool, at_most: usize) {
        let from = spool
            .boots()
            .into_iter()
            .map(|boot| self.cursors.get(&boot).copied().unwrap_or(Cursor::start(boot)));
        let mut reader = spool.reader(from);
        self.met.read(&mut reader, at_most);
        self.cursors.extend(reader.cursors().map(|cursor| (cursor.boot, cursor)));
    }
}

fn live(seed: u64, power: bool) {
    let fs = disk(seed);
    let mut random = fastrand::Rng::with_seed(seed ^ 0x5eed);
    let mut model = Model { next: 1, ..Model::default() };
    let mut destination = Destination::default();
    for life in 1..=4_u128 {
        let spool = open(&fs, life).unwrap();
        recover_all(&spool).unwrap();
        model.compare(&read_all(&spool).records, power, seed);
        let mut writer = spool.writer();
        for _ in 0..random.usize(..40) {
            act(&fs, &spool, &mut writer, &mut model, &mut destination, &mut random);
        }
        drop((writer, spool));
        match power {
            true => fs.lose_power(),
            false => fs.kill(),
        }
    }
    let spool = open(&fs, 9).unwrap();
    recover_all(&spool).unwrap();
    model.compare(&read_all(&spool).records, power, seed);
    destination.read(&spool, usize::MAX);
    let met = &destination.met.records;
    assert!(met.is_sorted_by(|one, next| one < next), "seed {seed}: nothing is met twice: {met:?}");
    let written = &model.written;
    assert!(written.iter().all(|sequence| met.contains(sequence)), "seed {seed}: {written:?} in {met:?}");
    if !power {
        assert_eq!(met, written, "seed {seed}");
    }
}

impl Model {
    /// After a death: what is on disk now is what there is from here on.
    fn compare(&mut self, on_disk: &[u64], power: bool, seed: u64) {
        assert!(on_disk.is_sorted_by(|one, next| one < next), "seed {seed}: in order and once: {on_disk:?}");
        let promised = if power { &self.written[..self.durable] } else { &self.written[..] };
        assert!(promised.iter().all(|one| on_disk.contains(one)), "seed {seed}: {promised:?} in {on_disk:?}");
        let known = |one: &u64| self.written.contains(one) || self.refused.contains(one);
        assert!(on_disk.iter().all(known), "seed {seed}: nothing else: {on_disk:?}");
        self.written = on_disk.to_vec();
        self.durable = on_disk.len();
        self.refused.clear();
    }
}

fn act(
    fs: &SimFs,
    spool: &Spool,
    writer: &mut SegmentWriter,
    model: &mut Model,
    destination: &mut Destination,
    random: &mut fastrand::Rng,
) {
    match random.u8(..14) {
        0..4 => {
            let run: Vec<u64> = (model.next..model.next + random.u64(1..6)).collect();
            model.next += run.len() as u64;
            match writer.append(&records(run.iter().copied())) {
                Ok(_) => model.written.extend(run),
                Err(_) if writer.needs_segment() => model.refused.extend(run),
                Err(_) => {}
            }
        }
        4 | 5 => {
            if writer.sync().is_ok() {
                model.durable = model.written.len();
                model.refused.retain(|_| writer.needs_segment());
            }
        }
        6 | 7 => {
            if writer.rotate(&mark("head"), 1).is_ok() {
                model.durable = model.written.len();
                model.refused.retain(|_| writer.needs_segment());
            }
        }
        8 | 9 => destination.read(spool, random.usize(..20)),
        // Whether it works or not, nothing of what is met may change by it.
        10 | 11 => drop(compress_all(spool)),
        _ => fs.faults(|faults| match random.u8(..6) {
            0 => faults.failing_syncs = 1,
            1 => faults.failing_dir_syncs = 1,
            2 => faults.failing_cuts = 1,
            3 => faults.short_writes = !faults.short_writes,
            4 => faults.room = Some(random.u64(1000..6000)),
            _ => *faults = sim::Faults::default(),
        }),
    }
}

#[test]
fn whatever_happens_before_a_kill_all_that_was_written_is_met_once_and_in_order() {
    (0..400).for_each(|seed| live(seed, false));
}

#[test]
fn whatever_happens_before_a_loss_of_power_all_that_was_synced_is_met_once_and_in_order() {
    (0..400).for_each(|seed| live(seed, true));
}
