//! Times as text, without a calendar library per record.

/// How times are written in flat records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timestamps {
    /// `2026-04-09T14:22:11.123456Z`
    #[default]
    Microseconds,
    /// `2026-04-09T14:22:11+0000`
    Seconds,
}

/// A day of the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Civil {
    /// 1970 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

const DAY_SECONDS: u64 = 86_400;
/// Seconds from 1970 to the last second of the year 9999: RFC 3339 has no name
/// for a later one.
const LAST_SECOND: u64 = 253_402_300_799;

/// The UTC day of a Unix time in microseconds; times behind the year 9999 fall
/// on its last day.
#[must_use]
pub fn civil(unix_microseconds: u64) -> Civil {
    civil_of_day((unix_microseconds / 1_000_000).min(LAST_SECOND) / DAY_SECONDS)
}

/// Days since 1970-01-01 to a date, counting years from March so that the leap
/// day is a year's last, in eras of 400 years.
fn civil_of_day(days: u64) -> Civil {
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    Civil {
        year: (era * 400 + year + u64::from(month <= 2)) as u16,
        month: month as u8,
        day: (day_of_year - (153 * march_month + 2) / 5 + 1) as u8,
    }
}

/// Writes times; remembers the day, since most neighbours share it.
#[derive(Debug)]
pub(super) struct Writer {
    timestamps: Timestamps,
    day: u64,
    text: [u8; 11],
}

impl Writer {
    /// A writer of this form.
    pub(super) fn new(timestamps: Timestamps) -> Self {
        Self { timestamps, day: 0, text: *b"1970-01-01T" }
    }

    /// Appends the text of a Unix time in microseconds.
    pub(super) fn push(&mut self, out: &mut Vec<u8>, unix_microseconds: u64) {
        let microseconds = bounded(unix_microseconds);
        let (seconds, fraction) = (microseconds / 1_000_000, microseconds % 1_000_000);
        let (day, second) = (seconds / DAY_SECONDS, seconds % DAY_SECONDS);
        if day != self.day {
            let date = civil_of_day(day);
            let [a, b] = two(u64::from(date.year) / 100);
            let [c, d] = two(u64::from(date.year) % 100);
            let [e, f] = two(u64::from(date.month));
            let [g, h] = two(u64::from(date.day));
            self.text = [a, b, c, d, b'-', e, f, b'-', g, h, b'T'];
            self.day = day;
        }
        out.extend_from_slice(&self.text);
        let ([a, b], [c, d], [e, f]) = (two(second / 3600), two(second / 60 % 60), two(second % 60));
        out.extend_from_slice(&[a, b, b':', c, d, b':', e, f]);
        match self.timestamps {
            Timestamps::Seconds => out.extend_from_slice(b"+0000"),
            Timestamps::Microseconds => {
                let ([a, b], [c, d], [e, f]) =
                    (two(fraction / 10_000), two(fraction / 100 % 100), two(fraction % 100));
                out.extend_from_slice(&[b'.', a, b, c, d, e, f, b'Z']);
            }
        }
    }
}

/// A time, or the last one that has a name in RFC 3339: that of the year 9999.
pub(super) fn bounded(unix_microseconds: u64) -> u64 {
    unix_microseconds.min(LAST_SECOND * 1_000_000 + 999_999)
}

/// Reads a time in either form, in Unix microseconds.
pub(super) fn unix_microseconds(text: &str) -> Option<u64> {
    let time = match text.strip_suffix("+0000") {
        Some(second) => format!("{second}Z").parse::<jiff::Timestamp>(),
        None => text.parse(),
    };
    match time {
        Ok(time) => u64::try_from(time.as_microsecond()).ok(),
        // The library's calendar ends a day before the year 9999 does.
        Err(_) => (text == "9999-12-31T23:59:59.999999Z").then(|| bounded(u64::MAX)),
    }
}

/// The text of one time with microseconds, where speed does not matter.
#[must_use]
pub fn time_text(unix_microseconds: u64) -> String {
    let mut out = Vec::with_capacity(27);
    Writer::new(Timestamps::Microseconds).push(&mut out, unix_microseconds);
    String::from_utf8(out).expect("digits and punctuation are ASCII")
}

fn two(number: u64) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(microseconds: u64) {
        let zoned = jiff::Timestamp::from_microsecond(i64::try_from(microseconds).unwrap()).unwrap();
        let date = jiff::tz::TimeZone::UTC.to_datetime(zoned);
        assert_eq!(time_text(microseconds), format!("{zoned:.6}"));
        let day = civil(microseconds);
        assert_eq!(
            (day.year as i16, day.month as i8, day.day as i8),
            (date.year(), date.month(), date.day())
        );
    }

    #[test]
    fn every_day_agrees_with_a_calendar_library() {
        let mut writer = Writer::new(Timestamps::Seconds);
        for day in 0..LAST_SECOND / DAY_SECONDS {
            // jiff stops a day before the year ends, in case of an offset.
            if day % 7 == 0 || day < 40_000 {
                check(day * DAY_SECONDS * 1_000_000 + day);
            }
        }
        let mut out = Vec::new();
        writer.push(&mut out, 1_775_744_531_123_456);
        assert_eq!(out, b"2026-04-09T14:22:11+0000");
    }

    #[test]
    fn a_time_that_has_no_name_becomes_the_last_that_has_one() {
        assert_eq!(time_text(u64::MAX), "9999-12-31T23:59:59.999999Z");
        assert_eq!(civil(u64::MAX), Civil { year: 9999, month: 12, day: 31 });
    }

    proptest! {
        #[test]
        fn times_agree_with_a_calendar_library(microseconds in 0u64..253_402_200_000_000_000) {
            check(microseconds);
        }
    }
}
