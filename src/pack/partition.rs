//! Which partition a record belongs to, and the keys of objects and manifests.

use crate::evidence::merkle;
use crate::format::{Civil, Compression, KeyFacts, KeyTemplate, civil};
use crate::record::{Field, RecordView};
use std::collections::HashSet;
use uuid::Uuid;

/// At most this many organizations a batch get a partition of their own.
pub const MAX_ORGANIZATIONS: usize = 256;
/// Where the records of further organizations go.
pub const OTHER: &str = "_other";
/// Where records without an organization go.
pub const UNKNOWN: &str = "unknown";

/// Longest escaped value in a key, in bytes. Longer ones are cut and told apart
/// by a hash: file names end at 255 bytes, keys at 1,024.
const MAX_VALUE: usize = 96;

/// One partition: the records that share an object. The values are escaped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// `log_source`.
    pub source: String,
    /// `organization_id`.
    pub organization: String,
    /// The UTC day of `event.start`.
    pub day: Civil,
}

/// Gives out partitions in one batch.
#[derive(Debug, Default)]
pub struct Partitioner {
    organizations: HashSet<Vec<u8>>,
    before: Option<Before>,
}

/// What the partition of the record before was made of, and where its object is kept: most records
/// belong where the one before them does.
#[derive(Debug)]
struct Before {
    source: Vec<u8>,
    organization: Vec<u8>,
    /// Since 1970.
    day: u64,
    place: usize,
}

const DAY_MICROSECONDS: u64 = 86_400_000_000;

impl Partitioner {
    /// The partition of a record.
    pub fn partition(&mut self, record: &RecordView<'_>) -> Partition {
        let text = |field| record.bytes(field).filter(|value| !value.is_empty());
        let organization = match text(Field::Organization) {
            None => UNKNOWN.to_owned(),
            Some(value) if self.has_room(value) => escape(value),
            Some(_) => OTHER.to_owned(),
        };
        let source = text(Field::Source).map_or_else(|| UNKNOWN.to_owned(), escape);
        Partition { source, organization, day: civil(record.start()) }
    }

    /// The place that was [remembered](Self::remember), if this record belongs there for certain.
    pub fn same_as_before(&self, record: &RecordView<'_>) -> Option<usize> {
        let text = |field| record.bytes(field).unwrap_or_default();
        let before = self.before.as_ref()?;
        let is_same = before.organization == text(Field::Organization)
            && before.source == text(Field::Source)
            && before.day == record.start() / DAY_MICROSECONDS;
        is_same.then_some(before.place)
    }

    /// Keeps in mind which place a record's partition has.
    pub fn remember(&mut self, record: &RecordView<'_>, place: usize) {
        let text = |field| record.bytes(field).unwrap_or_default().to_vec();
        self.before = Some(Before {
            source: text(Field::Source),
            organization: text(Field::Organization),
            day: record.start() / DAY_MICROSECONDS,
            place,
        });
    }

    fn has_room(&mut self, organization: &[u8]) -> bool {
        if self.organizations.contains(organization) {
            return true;
        }
        self.organizations.len() < MAX_ORGANIZATIONS && self.organizations.insert(organization.to_vec())
    }
}

impl Partition {
    /// What names the partition, ending with `/`.
    #[must_use]
    pub fn folder(&self) -> String {
        let Civil { year, month, day } = self.day;
        format!(
            "log_source={}/organization_id={}/year={year:04}/month={month:02}/day={day:02}/",
            self.source, self.organization
        )
    }
}

/// What makes an object's name its own.
#[derive(Clone, Copy, Debug)]
pub struct Naming<'a> {
    /// Put before each key.
    pub prefix: &'a str,
    /// The instance that packs.
    pub instance: &'a str,
    /// The boot that packs.
    pub boot: Uuid,
    /// The destination.
    pub destination: &'a str,
    /// The batch number.
    pub batch: u64,
    /// The format's name.
    pub format: &'a str,
    /// How keys are made.
    pub template: &'a KeyTemplate,
    /// The format's extension.
    pub extension: &'a str,
    /// How objects are compressed.
    pub compression: Compression,
}

impl Naming<'_> {
    /// The key of an object with this content, whose earliest record began at `first`.
    #[must_use]
    pub fn object(&self, partition: &Partition, first: u64, content: &merkle::Hash) -> String {
        let folder = partition.folder();
        let batch = self.batch.to_be_bytes();
        let boot = self.boot.into_bytes();
        // Each part with its length before it, so that no two lists of parts give the same bytes.
        let mut bytes = Vec::new();
        let parts: [&[u8]; 7] = [
            self.instance.as_bytes(),
            &boot,
            self.destination.as_bytes(),
            &batch,
            folder.as_bytes(),
            self.format.as_bytes(),
            content,
        ];
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        let hash = merkle::sha256(&bytes);
        let (head, _) = hash.split_first_chunk::<16>().expect("a SHA-256 hash has 32 bytes");
        let uuid = uuid::Builder::from_custom_bytes(*head).into_uuid();
        let key = self.template.key(&KeyFacts {
            source: &partition.source,
            organization: &partition.organization,
            day: partition.day,
            first,
            uuid,
            batch: self.batch,
        });
        let Self { prefix, extension, .. } = self;
        let end = if self.compression == Compression::Gzip { ".gz" } else { "" };
        format!("{prefix}{key}.{extension}{end}")
    }

    /// The key of the manifest with these bytes.
    #[must_use]
    pub fn manifest(&self, note: &[u8]) -> String {
        let hash = merkle::hex(&merkle::sha256(note));
        format!(
            "{}_manifests/instance={}/destination={}/boot={}/manifest-{:020}-{}.json",
            self.prefix,
            escape(self.instance.as_bytes()),
            escape(self.destination.as_bytes()),
            self.boot,
            self.batch,
            &hash[..16],
        )
    }
}

/// A value as it stands in a key or a file name: every byte but the unreserved
/// characters of RFC 3986 as `%XX`, dots too where there is nothing else, so
/// that a value is always one harmless path segment.
#[must_use]
pub fn escape(value: &[u8]) -> String {
    let only_dots = value.iter().all(|&byte| byte == b'.');
    let mut text = String::with_capacity(value.len());
    let mut whole = true;
    for &byte in value {
        let plain = matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~')
            || byte == b'.' && !only_dots;
        let length = if plain { 1 } else { 3 };
        if text.len() + length > MAX_VALUE {
            whole = false;
            break;
        }
        if plain {
            text.push(char::from(byte));
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            text.extend([
                '%',
                char::from(HEX[usize::from(byte >> 4)]),
                char::from(HEX[usize::from(byte & 15)]),
            ]);
        }
    }
    // `_other` and `unknown` as real names must not fall together with ours.
    if value == OTHER.as_bytes() {
        return "%5Fother".to_owned();
    }
    if !whole {
        text.push('~');
        text.push_str(&merkle::hex(&merkle::sha256(value))[..32]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RecordWriter;
    use proptest::prelude::*;

    fn partition(fields: &[(Field, &[u8])], partitioner: &mut Partitioner) -> Partition {
        let mut bytes = Vec::new();
        let mut writer = RecordWriter::new(&mut bytes);
        writer.integer(Field::Start, 1_775_744_531_123_456);
        for (field, value) in fields {
            writer.bytes(*field, value);
        }
        partitioner.partition(&RecordView::parse(&bytes).unwrap())
    }

    fn naming() -> Naming<'static> {
        static STANDARD: std::sync::LazyLock<KeyTemplate> = std::sync::LazyLock::new(KeyTemplate::default);
        Naming {
            prefix: "logs/",
            instance: "gw 1",
            boot: Uuid::from_u128(7),
            destination: "archive",
            batch: 36,
            format: "flat",
            template: &STANDARD,
            extension: "jsonl",
            compression: Compression::Gzip,
        }
    }

    #[test]
    fn an_object_lies_where_the_reference_says() {
        let place = partition(
            &[(Field::Source, b"cda"), (Field::Organization, b"274qvl9SkVAlToItncE81X")],
            &mut Partitioner::default(),
        );
        let key = naming().object(&place, 0, &[1; 32]);
        let (folder, name) = key.rsplit_once('/').unwrap();
        assert_eq!(
            folder,
            "logs/log_source=cda/organization_id=274qvl9SkVAlToItncE81X/year=2026/month=04/day=09"
        );
        let uuid = name.strip_prefix("compacted-cda-").unwrap().strip_suffix("-36.jsonl.gz").unwrap();
        let uuid: Uuid = uuid.parse().unwrap();
        assert_eq!((uuid.get_version_num(), uuid.get_variant()), (8, uuid::Variant::RFC4122));
        assert_eq!(key, naming().object(&place, 0, &[1; 32]));
        assert_ne!(key, naming().object(&place, 0, &[2; 32]));
        assert_ne!(key, Naming { boot: Uuid::from_u128(8), ..naming() }.object(&place, 0, &[1; 32]));
    }

    #[test]
    fn a_manifest_is_named_by_number_and_hash() {
        assert_eq!(
            naming().manifest(b""),
            "logs/_manifests/instance=gw%201/destination=archive/boot=00000000-0000-0000-0000-000000000007/\
             manifest-00000000000000000036-e3b0c44298fc1c14.json"
        );
    }

    #[test]
    fn organizations_beyond_the_bound_share_one_partition() {
        let mut partitioner = Partitioner::default();
        let mut seen = HashSet::new();
        for number in 0..1000 {
            let name = format!("o{number}");
            seen.insert(partition(&[(Field::Organization, name.as_bytes())], &mut partitioner).organization);
        }
        assert_eq!(seen.len(), MAX_ORGANIZATIONS + 1);
        assert!(seen.contains(OTHER));
        assert_eq!(partition(&[], &mut partitioner).organization, UNKNOWN);
        assert_eq!(partition(&[(Field::Organization, b"o0")], &mut partitioner).organization, "o0");
        assert_ne!(escape(OTHER.as_bytes()), OTHER);
    }

    proptest! {
        #[test]
        fn no_value_leaves_its_partition(value in prop_oneof![
            any::<Vec<u8>>(), "(\\.|/|=|%|\\\\|\u{0}|a|é){0,200}".prop_map(String::into_bytes),
        ]) {
            let text = escape(&value);
            prop_assert!(text.len() <= MAX_VALUE + 33);
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~%".contains(&b)));
            prop_assert!(text.is_empty() || text.bytes().any(|b| b != b'.'));
            if text.len() <= MAX_VALUE && value != OTHER.as_bytes() {
                let back: Vec<u8> = percent_encoding::percent_decode_str(&text).collect();
                prop_assert_eq!(back, value);
            }
        }
    }
}
