//! The names of a head's fields, expected again in the next.
//!
//! One side of a connection sends the same names in the same order with nearly every head. Where
//! that holds, a name needs no more than a comparison with the one that was judged before, and
//! only values are to be looked at byte by byte.
//!
//! What is expected is the one usual form, `name: value CRLF`, where the value neither begins nor
//! ends with a blank. A head read here is one that the guards would let through, with its fields in
//! the same places. What is not read here may be so too, or odd, or not whole: they read it then.

use super::fields::Framing;
use super::response::FieldSpan;
use super::scan::LineEnds;

/// Bytes of names, and names, that are kept of one head; of a larger one nothing is expected.
const MOST_BYTES: usize = 1024;
const MOST_NAMES: usize = 48;

/// Names in their order; none at first.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// Each with its colon and a blank, as it was sent.
    bytes: Vec<u8>,
    /// Where each ends in them, and whether it says anything of the framing.
    ends: Vec<(u16, bool)>,
}

impl Names {
    /// Reads the fields of a head whose first line is told already, if there are just these;
    /// where the head ends. `start`: where they begin.
    #[inline]
    pub(super) fn read(
        &self,
        (head, lines): (&[u8], &mut LineEnds<'_>),
        start: usize,
        framing: &mut Framing,
        mut tell: impl FnMut(FieldSpan),
    ) -> Option<usize> {
        let (mut at, mut from) = (start, 0);
        if self.ends.is_empty() {
            return None;
        }
        for &(to, frames) in &self.ends {
            let name = &self.bytes[from..usize::from(to)];
            let end = lines.next()?;
            let value = behind_name(head.get(at..end)?, name)?;
            let is_usual = matches!(value, [first, ..] if !matches!(first, b' ' | b'\t'))
                && matches!(value, [.., last] if !matches!(last, b' ' | b'\t'));
            if !is_usual {
                return None;
            }
            if frames {
                framing.known(&name[..name.len() - 2], value).ok()?;
            }
            let behind = at + name.len();
            tell(FieldSpan::new(at..behind - 2, behind..end));
            at = end + 2;
            from = usize::from(to);
        }
        (head.get(at..)?.first_chunk() == Some(b"\r\n")).then_some(at + 2)
    }

    /// How many are expected.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether these are the names of this head, of the same spelling and order.
    pub(super) fn are_of(&self, head: &[u8], fields: &[FieldSpan]) -> bool {
        let mut from = 0;
        self.ends.len() == fields.len()
            && self.ends.iter().zip(fields).all(|(&(to, _), field)| {
                let name = &self.bytes[from..usize::from(to) - 2];
                from = usize::from(to);
                head[field.name()] == *name
            })
    }

    /// Begins a new list.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds a name behind the others; false: there are too many, and none is expected.
    pub(super) fn push(&mut self, name: &[u8]) -> bool {
        let end = self.bytes.len() + name.len() + 2;
        if end > MOST_BYTES || self.ends.len() == MOST_NAMES {
            self.clear();
            return false;
        }
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(b": ");
        self.ends.push((end as u16, Framing::is_of(name)));
        true
    }
}

/// What stands behind the name, if the line begins with it. Names are short: most are compared by
/// their two ends, which may overlap.
#[inline(always)]
fn behind_name<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let (begin, value) = line.split_at_checked(name.len())?;
    let is_same = match name.len() {
        16..=32 => {
            begin.first_chunk::<16>() == name.first_chunk() && begin.last_chunk::<16>() == name.last_chunk()
        }
        8..=15 => {
            begin.first_chunk::<8>() == name.first_chunk() && begin.last_chunk::<8>() == name.last_chunk()
        }
        4..=7 => {
            begin.first_chunk::<4>() == name.first_chunk() && begin.last_chunk::<4>() == name.last_chunk()
        }
        _ => begin == name,
    };
    is_same.then_some(value)
}

#[cfg(test)]
mod tests {
    use super::super::Fault;
    use super::super::{OneConnection, RequestGuard, RequestLimits, ResponseGuard, ResponseReader};
    use super::super::{Shapes, StatusLine};
    use super::*;
    use bytes::BytesMut;
    use http::HeaderMap;
    use http::header::{TE, UPGRADE};
    use proptest::prelude::*;
    use proptest::sample::select;

    const LIMITS: RequestLimits = RequestLimits { head_bytes: 300, head_fields: 6 };

    /// How much of it goes on, and why no more, behind a head that was read before.
    fn request(before: &[u8], text: &[u8]) -> (usize, Option<Fault>, bool) {
        let mut guard = RequestGuard::new(LIMITS);
        if guard.advance(before) != before.len() || !guard.is_at_head() {
            guard = RequestGuard::new(LIMITS);
        }
        (guard.advance(text), guard.fault(), guard.is_mid_head())
    }

    type Answer = (Option<(StatusLine, Vec<FieldSpan>, HeaderMap, bool)>, Option<Fault>, Option<u64>);

    /// The same of an answer, behind three of another.
    fn response(before: &[u8], text: &[u8]) -> Answer {
        let mut shapes = Shapes::default();
        for _ in 0..3 {
            let mut reader = ResponseReader::default();
            reader.expect(true);
            let _ = reader.head(&mut BytesMut::from(before), &mut shapes, |_| {});
        }
        let mut guard = ResponseGuard::default();
        guard.expect(false);
        let part = guard.next_of(text, Some(shapes.expected()));
        let mut reader = ResponseReader::default();
        reader.expect(false);
        let read = reader.head(&mut BytesMut::from(text), &mut shapes, |_| {});
        let head = read.as_ref().ok().and_then(Option::as_ref);
        let told = head.map(|head| {
            let mut headers = head.headers.clone();
            // A known answer has none of these any more.
            for name in OneConnection::of(&headers).names().filter(|name| *name != TE && *name != UPGRADE) {
                headers.remove(name);
            }
            (guard.status_line(), guard.fields().to_vec(), headers, head.keeps_alive)
        });
        assert_eq!(part.is_err(), read.is_err());
        (told, read.err(), guard.remaining())
    }

    /// Whatever was expected, the head is read as where nothing is.
    fn is_the_same(before: &[u8], text: &[u8]) -> Result<(), TestCaseError> {
        prop_assert_eq!(request(before, text), request(b"", text));
        prop_assert_eq!(response(before, text), response(b"", text));
        Ok(())
    }

    const ENDS: [&str; 6] = ["\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n"];
    const FIRST: [&str; 9] = [
        "GET / HTTP/1.1",
        "POST /a?b HTTP/1.0",
        "HTTP/1.1 200 OK",
        "HTTP/1.0 204",
        "HTTP/1.1 304 \u{e9}",
        "HTTP/1.1 200 a\u{1}b",
        "GET / HTTP/1.1 ",
        "",
        "GET /\u{7f} HTTP/1.1",
    ];
    const NAMES: [&str; 12] = [
        "Host",
        "X",
        "Content-Length",
        "content-length",
        "Transfer-Encoding",
        "Upgrade",
        "X ",
        "",
        " X",
        "X(",
        "caf\u{e9}",
        "!#$%&'*+-.^_`|~",
    ];
    const BETWEEN: [&str; 7] = [": ", ": ", ": ", ":", ":\t", ":  ", " : "];
    const VALUES: [&str; 12] =
        ["a", "5", "chunked", "", " ", "a ", "a\t", "a\tb", "a\u{1}b", "\u{e9}", "a\0", "gzip, chunked"];

    fn line() -> impl Strategy<Value = String> {
        let end = prop_oneof![20 => Just("\r\n"), 1 => select(&ENDS[..])];
        let plain = ("[A-Za-z-]{1,20}", "[ -~]{1,40}").prop_map(|(name, value)| format!("{name}: {value}"));
        let odd = (select(&NAMES[..]), select(&BETWEEN[..]), select(&VALUES[..]))
            .prop_map(|(name, between, value)| format!("{name}{between}{value}"));
        (prop_oneof![3 => plain, 1 => odd], end).prop_map(|(line, end)| line + end)
    }

    #[test]
    fn every_byte_in_every_place_is_judged_as_where_nothing_is_expected() {
        for text in
            ["GET /ab HTTP/1.1\r\nAb: cd\r\nX-Y: z\r\n\r\n", "HTTP/1.1 200 Ok\r\nAb: cd\r\nX-Y: z\r\n\r\n"]
        {
            for place in 0..text.len() {
                for byte in 0..=255 {
                    let mut bytes = text.as_bytes().to_vec();
                    bytes[place] = byte;
                    is_the_same(text.as_bytes(), &bytes).unwrap();
                }
            }
            for length in 1..text.len() {
                is_the_same(text.as_bytes(), &text.as_bytes()[..length]).unwrap();
            }
        }
    }

    #[test]
    fn the_names_of_a_head_are_expected_in_the_next() {
        let text = b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
        let mut names = Names::default();
        assert!(names.push(b"Host") && names.push(b"Content-Length"));
        let (mut framing, mut places) = (Framing::default(), Vec::new());
        let mut lines = LineEnds::of(text);
        let start = lines.next().unwrap() + 2;
        let read = names.read((text, &mut lines), start, &mut framing, |field| places.push(field));
        assert_eq!((read, places.len()), (Some(text.len() - 5), 2));
        assert_eq!((&text[places[1].name()], &text[places[1].value()]), (&b"Content-Length"[..], &b"5"[..]));
        assert!(names.are_of(text, &places) && !names.are_of(text, &places[..1]));
        // A name more, a name less, another value's form: left to those who read line by line.
        for other in [
            "Host: a\r\n\r\n",
            "Host: a\r\nContent-Length: 5\r\nX: y\r\n\r\n",
            "Host: \r\nContent-Length: 5\r\n\r\n",
        ] {
            let lines = &mut LineEnds::of(other.as_bytes());
            let read = names.read((other.as_bytes(), lines), 0, &mut Framing::default(), |_| {});
            assert_eq!(read, None, "{other:?}");
        }
    }

    #[test]
    fn of_a_head_with_too_many_names_nothing_is_expected() {
        let mut names = Names::default();
        assert!((0..MOST_NAMES).all(|_| names.push(b"x")));
        assert!(!names.push(b"x") && names.len() == 0);
        assert!(!names.push(&[b'x'; MOST_BYTES]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]
        #[test]
        fn a_head_is_read_the_same_whatever_was_expected(
            first in select(&FIRST[..]),
            first_end in prop_oneof![10 => Just("\r\n"), 1 => select(&ENDS[..])],
            lines in proptest::collection::vec(line(), 0..8),
            values in proptest::collection::vec(select(&VALUES[..]), 8),
            last in prop_oneof![10 => Just("\r\n"), 1 => select(&ENDS[..])],
            behind in select(&["", "x", "hello", "5\r\nhello\r\n0\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"][..]),
        ) {
            // Before it one with the same names and other values.
            let named = lines.iter().zip(&values).filter_map(|(line, value)| {
                let (name, _) = line.split_once(": ")?;
                (!value.is_empty()).then(|| format!("{name}: {value}\r\n"))
            });
            let named: String = named.collect();
            let text = format!("{first}{first_end}{}{last}{behind}", lines.concat());
            for line in ["GET / HTTP/1.1", "HTTP/1.1 200 OK"] {
                is_the_same(format!("{line}\r\n{named}\r\n").as_bytes(), text.as_bytes())?;
                is_the_same(text.as_bytes(), text.as_bytes())?;
            }
        }
    }
}
