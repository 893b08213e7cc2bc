//! Which records a destination takes.
//!
//! What it does not take is counted and named by its sequences in the manifest. Sampling goes
//! by the event's id, so that all destinations with the same rate take the same reads.

use crate::record::{Field, Outcome, RecordView};

/// What a destination takes of exchanges; each part that is set has to fit. The gateway's own
/// records are not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Request methods; empty: all. So for all lists.
    pub methods: Vec<String>,
    /// Values of `event.action`.
    pub actions: Vec<String>,
    /// Values of `event.category`.
    pub categories: Vec<String>,
    /// Status codes, from the first to the last of each.
    pub statuses: Vec<(u16, u16)>,
    /// Whether the catalogue flags the route as sensitive.
    pub sensitive: Option<bool>,
    /// Outcomes.
    pub outcomes: Vec<Outcome>,
    /// Organizations.
    pub organizations: Vec<String>,
    /// Of reads (safe methods) one in so many is taken; 0 or 1: all.
    pub one_read_in: u64,
}

impl Filter {
    /// Whether every record fits.
    #[must_use]
    pub fn takes_all(&self) -> bool {
        *self == Self::default()
    }

    /// Whether this record fits.
    #[must_use]
    pub fn takes(&self, record: &RecordView<'_>) -> bool {
        const SENSITIVE: u64 = 1;
        let text = |field| record.bytes(field).unwrap_or_default();
        let among = |list: &[String], field| {
            list.is_empty() || list.iter().any(|wanted| wanted.as_bytes() == text(field))
        };
        let status = record.integer(Field::Status).unwrap_or(0);
        let in_range = |(first, last): &(u16, u16)| (u64::from(*first)..=u64::from(*last)).contains(&status);
        let sensitive = record.integer(Field::RouteFlags).unwrap_or(0) & SENSITIVE != 0;
        among(&self.methods, Field::Method)
            && among(&self.actions, Field::Action)
            && among(&self.categories, Field::Category)
            && (self.statuses.is_empty() || self.statuses.iter().any(in_range))
            && self.sensitive.is_none_or(|wanted| wanted == sensitive)
            && (self.outcomes.is_empty() || self.outcomes.contains(&record.outcome()))
            && among(&self.organizations, Field::Organization)
            && self.samples(record)
    }

    fn samples(&self, record: &RecordView<'_>) -> bool {
        let is_read =
            || matches!(record.bytes(Field::Method), Some(b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE"));
        if self.one_read_in < 2 || !is_read() {
            return true;
        }
        // The last 62 bits of an id are random; of a record without one, nothing is left to chance.
        let Some(id) = record.event_id() else { return true };
        let [.., a, b, c, d, e, f, g] = id;
        u64::from_be_bytes([0, a, b, c, d, e, f, g]).is_multiple_of(self.one_read_in)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{EventIds, RecordWriter};

    fn record(fields: &[(Field, &str)], status: u64, flags: u64, outcome: Outcome) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = RecordWriter::new(&mut bytes);
        fields.iter().for_each(|(field, text)| writer.text(*field, text));
        writer.integer(Field::Status, status);
        writer.integer(Field::RouteFlags, flags);
        writer.integer(Field::Outcome, outcome as u64);
        bytes
    }

    #[test]
    fn a_record_is_taken_where_each_part_that_is_set_fits() {
        let bytes = record(
            &[
                (Field::Method, "PUT"),
                (Field::Action, "publish"),
                (Field::Category, "content"),
                (Field::Organization, "o1"),
            ],
            404,
            1,
            Outcome::Failure,
        );
        let view = RecordView::parse(&bytes).unwrap();
        let list = |text: &str| vec!["x".to_owned(), text.to_owned()];
        let all = Filter::default();
        assert!(all.takes_all() && all.takes(&view));
        let fitting = Filter {
            methods: list("PUT"),
            actions: list("publish"),
            categories: list("content"),
            statuses: vec![(200, 299), (404, 404)],
            sensitive: Some(true),
            outcomes: vec![Outcome::Failure],
            organizations: list("o1"),
            one_read_in: 1_000_000,
        };
        assert!(fitting.takes(&view));
        for strange in [
            Filter { methods: list("put"), ..fitting.clone() },
            Filter { actions: list("unpublish"), ..fitting.clone() },
            Filter { categories: list("access"), ..fitting.clone() },
            Filter { statuses: vec![(400, 403), (405, 499)], ..fitting.clone() },
            Filter { sensitive: Some(false), ..fitting.clone() },
            Filter { outcomes: vec![Outcome::Success], ..fitting.clone() },
            Filter { organizations: list("o2"), ..fitting.clone() },
        ] {
            assert!(!strange.takes(&view), "{strange:?}");
        }
    }

    #[test]
    fn of_reads_about_one_in_so_many_is_taken_and_always_the_same() {
        let mut ids = EventIds::new(1);
        let filter = Filter { one_read_in: 10, ..Filter::default() };
        let mut taken = 0;
        for number in 0..20_000 {
            let mut bytes = record(&[(Field::Method, "GET")], 200, 0, Outcome::Success);
            RecordWriter::new(&mut bytes).bytes(Field::EventId, &ids.next(1_775_744_531_000_000 + number).0);
            let view = RecordView::parse(&bytes).unwrap();
            taken += u32::from(filter.takes(&view));
            assert_eq!(filter.takes(&view), filter.clone().takes(&view));
        }
        assert!((1_800..2_200).contains(&taken), "{taken}");
    }
}
