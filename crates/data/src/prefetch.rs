//! Runs an iterator ahead of its consumer, on a thread of its own.

use std::io;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use crate::error::{DataError, Result};

/// How many finished items wait for the consumer.
const DEPTH: usize = 2;

/// The items of an iterator that a thread runs. Dropping it stops and joins the thread.
pub(crate) struct Prefetch<T> {
    /// `None` once the items have come to an end.
    receiver: Option<Receiver<T>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Prefetch<T> {
    pub(crate) fn new(items: impl Iterator<Item = T> + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(DEPTH);
        let thread = thread::Builder::new().name("topedge-data".into()).spawn(move || {
            // A send fails when the consumer is gone.
            for item in items {
                if sender.send(item).is_err() {
                    break;
                }
            }
        })?;
        Ok(Prefetch { receiver: Some(receiver), thread: Some(thread) })
    }
}

impl<T> Iterator for Prefetch<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        if let Ok(item) = self.receiver.as_ref()?.recv() {
            return Some(Ok(item));
        }
        // The thread has ended: either all items are through, or it panicked.
        self.receiver = None;
        let panic = self.thread.take()?.join().err()?;
        Some(Err(DataError::loader_panicked(&*panic)))
    }
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        self.receiver = None;
        if let Some(thread) = self.thread.take() {
            // A panic matters to those who still want items, and nobody does.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn all_items_in_order() {
        let items: Result<Vec<i32>> = Prefetch::new(0..100).unwrap().collect();
        assert_eq!(items.unwrap(), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_panic_becomes_an_error_once() {
        let items = (0..5).map(|i| if i == 3 { panic!("item {i}\nis bad") } else { i });
        let mut items = Prefetch::new(items).unwrap();
        for i in 0..3 {
            assert_eq!(items.next().unwrap().unwrap(), i);
        }
        let error = items.next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the loader of batches panicked: item 3 is bad");
        assert!(items.next().is_none());
    }

    #[test]
    fn dropping_early_stops_the_thread() {
        let made = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&made);
        let endless = std::iter::repeat_with(move || count.fetch_add(1, Ordering::SeqCst));
        let mut items = Prefetch::new(endless).unwrap();
        assert_eq!(items.next().unwrap().unwrap(), 0);
        drop(items);
        // The thread is joined, so its share of `made` is dropped. One item was taken, at most
        // DEPTH wait and one could not be sent.
        assert_eq!(Arc::strong_count(&made), 1);
        assert!(made.load(Ordering::SeqCst) <= 2 + DEPTH);
    }
}
