//! Durations (`180ms`, `30s`, `3m`, `72h`, `7d`) and byte sizes (`64MiB`).
//!
//! A whole number and one unit, nothing else: what is written has one reading.

use std::time::Duration;

const TIMES: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: [(&str, u64); 5] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// Why a duration or size can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// No digits in front.
    #[error("does not begin with a whole number")]
    Number,
    /// A unit that is not known here.
    #[error("has no known unit; units are {known}", known = .0.join(", "))]
    Unit(Vec<&'static str>),
    /// More than 64 bits hold.
    #[error("is too large")]
    Large,
}

/// Reads a duration such as `30s`.
///
/// # Errors
/// [`UnitError`], if it is anything but a whole number and `ms`, `s`, `m`, `h` or `d`.
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    parse(text, &TIMES).map(Duration::from_millis)
}

/// Reads a size in bytes such as `64MiB`.
///
/// # Errors
/// [`UnitError`], if it is anything but a whole number and `B`, `KiB`, `MiB`, `GiB` or `TiB`.
pub fn size(text: &str) -> Result<u64, UnitError> {
    parse(text, &SIZES)
}

/// Writes a duration in its largest whole unit; what is below 1 ms is cut off.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    show(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), &TIMES, "0s")
}

/// Writes a size in its largest whole unit.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    show(bytes, &SIZES, "0B")
}

fn parse(text: &str, units: &[(&'static str, u64)]) -> Result<u64, UnitError> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    if digits.is_empty() {
        return Err(UnitError::Number);
    }
    let factor = units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let factor = factor.ok_or_else(|| UnitError::Unit(units.iter().map(|(name, _)| *name).collect()))?;
    digits.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).ok_or(UnitError::Large)
}

fn show(value: u64, units: &[(&str, u64)], zero: &str) -> String {
    if value == 0 {
        return zero.to_owned();
    }
    let whole = units.iter().rev().find(|(_, factor)| value.is_multiple_of(*factor));
    whole.map_or_else(|| value.to_string(), |(name, factor)| format!("{}{name}", value / factor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_and_sizes_are_read_as_documented() {
        assert_eq!(duration("180ms"), Ok(Duration::from_millis(180)));
        assert_eq!(duration("3m"), Ok(Duration::from_secs(180)));
        assert_eq!(duration("72h"), Ok(Duration::from_secs(72 * 3600)));
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert_eq!(size("10GiB"), Ok(10 << 30));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for text in ["", "s", "-1s", "1.5s", "1 s", "30", "30S", "1h30m", "+1s", "٣s"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
        for text in ["", "MiB", "64MB", "64M", "64 MiB", "64mib", "1e3B"] {
            assert!(size(text).is_err(), "{text:?}");
        }
        assert_eq!(size("99999999999TiB"), Err(UnitError::Large));
        assert_eq!(duration("99999999999999999999s"), Err(UnitError::Large));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(millis in 0..u64::MAX / 2, bytes: u64) {
            prop_assert_eq!(duration(&show_duration(Duration::from_millis(millis))), Ok(Duration::from_millis(millis)));
            prop_assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = (duration(&text), size(&text));
        }
    }
}
