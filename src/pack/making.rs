//! One batch in the making: frames in, files and accounts out.

use super::PackOptions;
use super::held::{Held, Waiting};
use super::lanes::{Fate, Lanes};
use super::manifest;
use super::object::OpenObject;
use super::outbox::{io_error, object_name};
use super::packer::{PackError, PackReport};
use super::partition::{Naming, Partition, Partitioner};
use super::source::LogFrame;
use crate::format::{Compression, Context, Encoder, Enrich, Enrichment, Entry, Framing};
use crate::record::{Field, Gap, GapCause, Mark, RecordView, SELF_LANE, supplement};
use crate::spool::frame::Kind;
use crate::spool::fs::Fs;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A batch in the making.
pub(super) struct Making<'a> {
    options: &'a PackOptions,
    fs: &'a Arc<dyn Fs>,
    draft: &'a Path,
    now: u64,
    pub(super) lanes: Lanes,
    pub(super) report: PackReport,
    framing: Framing,
    partitioner: Partitioner,
    places: HashMap<Partition, usize>,
    objects: Vec<OpenObject>,
    line: Vec<u8>,
    enrichment: Enrichment,
    /// A record with the fields that enrichment replaces.
    replaced: Vec<u8>,
    waiting: Waiting,
    /// The text of the boot whose frames are being read.
    boot: (uuid::Uuid, String),
}

impl<'a> Making<'a> {
    pub(super) fn new(
        options: &'a PackOptions,
        encoder: &dyn Encoder,
        fs: &'a Arc<dyn Fs>,
        draft: &'a Path,
        lanes: Lanes,
        report: PackReport,
        now: u64,
    ) -> Self {
        Self {
            options,
            fs,
            draft,
            now,
            lanes,
            report,
            framing: encoder.framing(),
            partitioner: Partitioner::default(),
            places: HashMap::new(),
            objects: Vec::new(),
            line: Vec::new(),
            enrichment: Enrichment::default(),
            replaced: Vec::new(),
            waiting: Waiting::default(),
            boot: (uuid::Uuid::nil(), uuid::Uuid::nil().to_string()),
        }
    }

    pub(super) fn frame(
        &mut self,
        frame: &LogFrame<'_>,
        encoder: &mut dyn Encoder,
        enrich: Option<&mut (dyn Enrich + 'static)>,
    ) -> Result<(), PackError> {
        let (boot, header) = (frame.boot, &frame.header);
        self.lanes.read(boot, Some(frame.instance), frame.after);
        match header.kind {
            Kind::Record => {
                self.lanes.begin(boot);
                if self.lanes.is_new(boot, header.lane, header.sequence) {
                    self.record(frame, encoder, enrich)?;
                }
            }
            Kind::Intent => {
                self.lanes.begin(boot);
                self.lanes.intent(boot, header.lane, header.sequence);
            }
            Kind::Gap => {
                self.lanes.begin(boot);
                // A gap that can't be read is found by the next mark, with all it names.
                match Gap::from_bytes(frame.payload) {
                    Ok(gap) => {
                        let count = self.lanes.gap(boot, &gap);
                        self.report.gaps.push((gap.cause, count));
                    }
                    Err(_) => self.lanes.lost(boot, GapCause::Corruption),
                }
            }
            Kind::Mark => {
                if let Ok(mark) = Mark::from_bytes(frame.payload) {
                    self.report.gaps.extend(self.lanes.mark(boot, &mark, self.now));
                }
            }
            Kind::Supplement => self.supplement(frame, encoder, enrich)?,
            Kind::Pad => {}
        }
        Ok(())
    }

    fn record(
        &mut self,
        frame: &LogFrame<'_>,
        encoder: &mut dyn Encoder,
        enrich: Option<&mut (dyn Enrich + 'static)>,
    ) -> Result<(), PackError> {
        let (boot, lane, sequence) = (frame.boot, frame.header.lane, frame.header.sequence);
        let Ok(record) = RecordView::parse(frame.payload) else {
            let sequences = [sequence].into_iter().collect();
            let cause = GapCause::Corruption;
            let count = self.lanes.gap(boot, &Gap { lane, sequences, cause, exact: true, noticed: self.now });
            self.report.gaps.push((cause, count));
            return Ok(());
        };
        let source = record.bytes(Field::Source).unwrap_or_default();
        let sources = &self.options.sources;
        let wanted = match lane == SELF_LANE {
            true => self.options.own_records,
            false => sources.is_empty() || sources.iter().any(|name| name.as_bytes() == source),
        };
        let inspected = record.integer(Field::Inspected).is_some();
        // One that is still looked into is judged by what is found.
        if !wanted || !inspected && !self.takes(lane, &record) {
            self.lanes.record(boot, lane, sequence, Fate::Filtered);
            self.report.filtered += 1;
            return Ok(());
        }
        // Counted here, whatever is still found out about it: a mark may speak of it next.
        self.lanes.record(boot, lane, sequence, Fate::Delivered);
        if inspected {
            match self.waiting.hold(frame) {
                Some(held) => self.release(&held, encoder, enrich),
                None => Ok(()),
            }
        } else {
            self.line(boot, frame.instance, (lane, sequence), &record, encoder, enrich)
        }
    }

    fn supplement(
        &mut self,
        frame: &LogFrame<'_>,
        encoder: &mut dyn Encoder,
        enrich: Option<&mut (dyn Enrich + 'static)>,
    ) -> Result<(), PackError> {
        match self.waiting.complete(frame) {
            Some(held) => self.release(&held, encoder, enrich),
            None => Ok(()),
        }
    }

    /// Whether a record waits for what is found out about it.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether a record of this boot does.
    pub(super) fn is_waiting_for(&self, boot: uuid::Uuid) -> bool {
        self.waiting.has(boot)
    }

    /// Encodes what still waits, as it is. To be called before [`Self::finish`].
    pub(super) fn release_all(
        &mut self,
        encoder: &mut dyn Encoder,
        mut enrich: Option<&mut (dyn Enrich + 'static)>,
    ) -> Result<(), PackError> {
        while let Some(held) = self.waiting.give_up() {
            self.release(&held, encoder, enrich.as_deref_mut())?;
        }
        Ok(())
    }

    fn release(
        &mut self,
        held: &Held,
        encoder: &mut dyn Encoder,
        enrich: Option<&mut (dyn Enrich + 'static)>,
    ) -> Result<(), PackError> {
        let record = RecordView::parse(&held.record);
        let record = record.expect("it was read when it was held, and a merge copies whole fields");
        if !self.takes(held.lane, &record) {
            self.lanes.withdraw(held.boot, held.lane, held.sequence);
            self.report.filtered += 1;
            return Ok(());
        }
        self.line(held.boot, &held.instance, (held.lane, held.sequence), &record, encoder, enrich)
    }

    /// Whether the destination takes a record of one of its sources.
    fn takes(&self, lane: u16, record: &RecordView<'_>) -> bool {
        lane == SELF_LANE || self.options.filter.takes_all() || self.options.filter.takes(record)
    }

    /// Encodes one record into its object.
    fn line(
        &mut self,
        boot: uuid::Uuid,
        instance: &str,
        (lane, sequence): (u16, u64),
        record: &RecordView<'_>,
        encoder: &mut dyn Encoder,
        enrich: Option<&mut (dyn Enrich + 'static)>,
    ) -> Result<(), PackError> {
        if self.boot.0 != boot {
            self.boot = (boot, boot.to_string());
        }
        // Who acts on the gateway is no user of an API.
        let enrichment = enrich.filter(|_| lane != SELF_LANE).map(|enrich| {
            self.enrichment.clear();
            enrich.enrich(record, &mut self.enrichment);
            &self.enrichment
        });
        let context = Context { instance, boot: &self.boot.1, lane, sequence };
        self.line.clear();
        let mut entry = Entry { record, context, enrichment };
        let replaced;
        if let Some(known) = enrichment.filter(|known| !known.replaced.is_empty()) {
            self.replaced.clear();
            supplement::merge(&known.replaced, record.as_bytes(), &mut self.replaced)
                .expect("both were written as fields, and the record was read");
            replaced = RecordView::parse(&self.replaced).expect("a merge of what can be read can be read");
            entry.record = &replaced;
        }
        encoder.encode(&entry, &mut self.line);

        let place = self.place(record);
        let pushed = self.objects[place].push(&self.line, record.start(), boot, lane);
        pushed.map_err(|error| io_error("write", &self.path(place))(error))?;
        self.report.bytes_in += self.line.len() as u64;
        Ok(())
    }

    /// The object that a record belongs to; a new one where it is the first of its partition.
    fn place(&mut self, record: &RecordView<'_>) -> usize {
        if let Some(place) = self.partitioner.same_as_before(record) {
            return place;
        }
        let next = self.objects.len();
        let partition = self.partitioner.partition(record);
        let place = *self.places.entry(partition).or_insert(next);
        if place == next {
            let level = match self.options.format.compression() {
                Compression::Gzip => Some(self.options.level),
                Compression::None => None,
            };
            let path = self.path(place);
            self.objects.push(OpenObject::new(Arc::clone(self.fs), &path, level, &self.framing));
        }
        self.partitioner.remember(record, place);
        place
    }

    fn path(&self, place: usize) -> PathBuf {
        self.draft.join(object_name(place))
    }

    /// Completes the files and gives each its key.
    pub(super) fn finish(
        mut self,
        naming: &Naming<'_>,
    ) -> Result<(Lanes, PackReport, Vec<manifest::ObjectEntry>), PackError> {
        let mut partitions: Vec<_> = std::mem::take(&mut self.places).into_iter().collect();
        partitions.sort_by_key(|(_, place)| *place);
        let mut entries = Vec::with_capacity(partitions.len());
        for ((partition, place), object) in partitions.into_iter().zip(std::mem::take(&mut self.objects)) {
            let finished = object.finish().map_err(io_error("write", &self.path(place)))?;
            let mut entry = finished.entry;
            entry.key = naming.object(&partition, finished.first, &finished.hash);
            entries.push(entry);
        }
        self.report.gaps.retain(|(_, count)| *count > 0);
        self.report.found = self.lanes.take_found();
        Ok((self.lanes, self.report, entries))
    }
}
