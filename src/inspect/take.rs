//! The bounded copy of a body, taken as it passes.

use super::coding::Coding;
use crate::record::InspectionError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How much may be copied: of one body, and of all together.
#[derive(Clone, Debug)]
pub struct Bounds {
    bytes: usize,
    memory: usize,
    used: Arc<AtomicUsize>,
}

impl Bounds {
    /// Bounds of `bytes` a body and `memory` for all.
    #[must_use]
    pub fn new(bytes: usize, memory: usize) -> Self {
        Self { bytes, memory, used: Arc::default() }
    }

    /// The same memory, with another bound for one body.
    #[must_use]
    pub fn with_bytes(&self, bytes: usize) -> Self {
        Self { bytes, ..self.clone() }
    }

    /// Bytes that are held now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Begins the copy of a body. `length` is its stated length, where one is stated.
    #[must_use]
    pub fn take(&self, coding: Coding, length: Option<u64>) -> Taken {
        let too_large = length.is_some_and(|length| length > self.bytes as u64);
        Taken {
            bounds: self.clone(),
            held: Vec::new(),
            coding,
            complete: false,
            error: too_large.then_some(InspectionError::TooLarge),
        }
    }
}

/// A body, or why there is none. Gives its memory back when dropped.
#[derive(Debug)]
pub struct Taken {
    bounds: Bounds,
    held: Vec<u8>,
    coding: Coding,
    complete: bool,
    error: Option<InspectionError>,
}

impl Taken {
    /// Copies a frame. A body that goes beyond a bound is let go of as a whole.
    pub fn push(&mut self, frame: &[u8]) {
        if self.error.is_some() {
            return;
        }
        if frame.len() > self.bounds.bytes - self.held.len() {
            self.give_up(InspectionError::TooLarge);
            return;
        }
        // Room is taken in steps, so that the count is what is really allocated.
        let needed = self.held.len() + frame.len();
        if needed > self.held.capacity() {
            let room = needed.next_power_of_two().clamp(1024, self.bounds.bytes.max(1024));
            let more = room - self.held.capacity();
            if self.bounds.used.fetch_add(more, Ordering::Relaxed) + more > self.bounds.memory {
                self.bounds.used.fetch_sub(more, Ordering::Relaxed);
                self.give_up(InspectionError::Overload);
                return;
            }
            self.held.reserve_exact(room - self.held.len());
            // What the allocator gave beyond what was asked for is counted too.
            self.bounds.used.fetch_add(self.held.capacity() - room, Ordering::Relaxed);
        }
        self.held.extend_from_slice(frame);
    }

    /// The body came to its end.
    pub fn complete(&mut self) {
        self.complete = true;
    }

    /// The body, with its coding; `None` if it was empty.
    ///
    /// # Errors
    /// Why it can't be looked into.
    pub fn body(&self) -> Result<Option<(&[u8], Coding)>, InspectionError> {
        match self.error {
            Some(error) => Err(error),
            None if !self.complete => Err(InspectionError::Incomplete),
            None if self.held.is_empty() => Ok(None),
            None => Ok(Some((&self.held, self.coding))),
        }
    }

    fn give_up(&mut self, error: InspectionError) {
        self.error = Some(error);
        self.release();
    }

    fn release(&mut self) {
        let held = std::mem::take(&mut self.held);
        if held.capacity() > 0 {
            self.bounds.used.fetch_sub(held.capacity(), Ordering::Relaxed);
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_beyond_its_bound_is_let_go_of_and_memory_comes_back() {
        let bounds = Bounds::new(10_000, 16_384);
        let mut taken = bounds.take(Coding::Identity, None);
        for _ in 0..9 {
            taken.push(&[b'x'; 1000]);
        }
        taken.complete();
        assert_eq!(taken.body().unwrap().unwrap().0.len(), 9000);
        let mut other = bounds.take(Coding::Identity, None);
        other.push(&[0; 8000]);
        assert_eq!(other.body(), Err(InspectionError::Overload));
        assert!(bounds.used() <= 16_384, "{}", bounds.used());
        taken.push(&[0; 1001]);
        assert_eq!(taken.body(), Err(InspectionError::TooLarge));
        assert_eq!(bounds.used(), 0);
        drop((taken, other));
        assert_eq!(bounds.used(), 0);
    }

    #[test]
    fn a_stated_length_beyond_the_bound_takes_nothing_and_a_broken_off_body_says_so() {
        let bounds = Bounds::new(100, 1 << 20);
        let mut taken = bounds.take(Coding::Identity, Some(101));
        taken.push(&[0; 50]);
        assert_eq!((taken.body(), bounds.used()), (Err(InspectionError::TooLarge), 0));
        let mut taken = bounds.take(Coding::Gzip, Some(100));
        taken.push(b"ab");
        assert_eq!(taken.body(), Err(InspectionError::Incomplete));
        taken.complete();
        assert_eq!(taken.body(), Ok(Some((&b"ab"[..], Coding::Gzip))));
    }
}
