//! Says in time that credentials run out: 14, 7 and 1 days ahead, and when they have.

const DAY: u64 = 86_400_000_000;

/// What was said already. Credentials with another end are other credentials.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    end: u64,
    said: Option<u64>,
}

impl Expiry {
    /// The days that are left, when that has to be said now: once at each step.
    pub(super) fn due(&mut self, end: Option<u64>, now: u64) -> Option<u64> {
        let end = end?;
        if end != self.end {
            *self = Self { end, said: None };
        }
        let left = end.saturating_sub(now);
        let step = [0, 1, 7, 14].into_iter().find(|days| left <= days * DAY)?;
        if self.said.is_some_and(|said| said <= step) {
            return None;
        }
        self.said = Some(step);
        Some(left / DAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_said_14_7_and_1_days_ahead_and_when_it_has_come() {
        let mut expiry = Expiry::default();
        let end = 100 * DAY;
        let mut said = Vec::new();
        for hour in 80 * 24..=102 * 24 {
            if let Some(left) = expiry.due(Some(end), hour * DAY / 24) {
                said.push((hour / 24, left));
            }
        }
        assert_eq!(said, [(86, 14), (93, 7), (99, 1), (100, 0)]);
        assert_eq!(expiry.due(Some(200 * DAY), 102 * DAY), None, "other credentials");
        assert_eq!(expiry.due(Some(103 * DAY), 102 * DAY), Some(1));
        assert_eq!(expiry.due(None, 102 * DAY), None);
    }
}
