//! Several transfers at once: plain threads, as many as are needed and no
//! more than allowed, fed from the operands as they come.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use common::{Error, Result};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `work` on each item with its number, at most `most` at once. The
/// first error ends the run; items that were begun come to their end, and
/// those that were handed out and not begun are `skip`ped.
pub(crate) fn run<T: Send>(
    items: impl Iterator<Item = T>,
    most: usize,
    work: impl Fn(usize, T) -> Result<()> + Sync,
    skip: impl Fn(usize) + Sync,
) -> Result<()> {
    let ended = AtomicBool::new(false);
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    // Room for none: an item is handed over when a thread is free, so that
    // input is read no faster than it is used.
    let (sender, receiver) = sync_channel::<(usize, T)>(0);
    let receiver = Mutex::new(receiver);
    let worker = || {
        while let Some((index, item)) = next(&receiver) {
            if ended.load(Ordering::SeqCst) {
                skip(index);
                continue;
            }
            if let Err(error) = work(index, item) {
                ended.store(true, Ordering::SeqCst);
                lock(&failure).get_or_insert(error);
            }
        }
    };
    thread::scope(|scope| {
        let mut threads = 0;
        for numbered in items.enumerate() {
            if ended.load(Ordering::SeqCst) {
                break;
            }
            if threads < most {
                let name = format!("transfer {threads}");
                match thread::Builder::new()
                    .name(name)
                    .spawn_scoped(scope, worker)
                {
                    Ok(_) => threads += 1,
                    // Fewer at once, then; none at all is a failure.
                    Err(e) if threads == 0 => {
                        lock(&failure).get_or_insert(Error::local(&e));
                        break;
                    }
                    Err(_) => {}
                }
            }
            // Workers end only when the sender is dropped.
            if sender.send(numbered).is_err() {
                break;
            }
        }
        drop(sender);
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// The next item; the lock is held while waiting, as there is one queue.
fn next<T>(receiver: &Mutex<Receiver<T>>) -> Option<T> {
    lock(receiver).recv().ok()
}

/// At most so many at once of each key.
#[derive(Debug)]
pub(crate) struct Gate {
    most: usize,
    inside: Mutex<HashMap<String, usize>>,
    left: Condvar,
}

/// One's place inside; leaves when dropped.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    gate: &'a Gate,
    key: String,
}

impl Gate {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            inside: Mutex::default(),
            left: Condvar::new(),
        }
    }

    /// Waits for a place.
    pub(crate) fn enter(&self, key: &str) -> Pass<'_> {
        let mut inside = self
            .left
            .wait_while(lock(&self.inside), |inside| {
                inside.get(key).is_some_and(|&count| count >= self.most)
            })
            .unwrap_or_else(PoisonError::into_inner);
        *inside.entry(key.to_owned()).or_default() += 1;
        Pass {
            gate: self,
            key: key.to_owned(),
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut inside = lock(&self.gate.inside);
        if let Some(count) = inside.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                inside.remove(&self.key);
            }
        }
        self.gate.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::Kind;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn everything_once_and_no_more_at_once_than_allowed() {
        let (now, most, sum) = (
            AtomicUsize::new(0),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
        );
        run(
            1..=100usize,
            4,
            |index, item| {
                assert_eq!(index + 1, item);
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
                sum.fetch_add(item, Ordering::SeqCst);
                Ok(())
            },
            |_| (),
        )
        .unwrap();
        assert_eq!(sum.into_inner(), 5050);
        assert!(most.into_inner() <= 4);
    }

    #[test]
    fn an_error_ends_it() {
        // Each waits for the one before it, as with --ordered: whether begun
        // or skipped, everyone has a turn.
        let (turn, turned, skipped) = (Mutex::new(0), Condvar::new(), AtomicUsize::new(0));
        let pass = |index: usize| {
            let mine = turned.wait_while(lock(&turn), |turn| *turn != index);
            *mine.unwrap() += 1;
            turned.notify_all();
        };
        let count = AtomicUsize::new(0);
        let work = |index, _: u32| {
            count.fetch_add(1, Ordering::SeqCst);
            pass(index);
            Err(Error::new(Kind::System, "x"))
        };
        let skip = |index| {
            skipped.fetch_add(1, Ordering::SeqCst);
            pass(index);
        };
        let error = run(0.., 2, work, skip).unwrap_err();
        assert_eq!(error.kind(), Kind::System);
        let (count, skipped) = (count.into_inner(), skipped.into_inner());
        assert!(count <= 4);
        assert_eq!(*lock(&turn), count + skipped);
    }

    #[test]
    fn a_gate_counts_by_key() {
        let gate = Gate::new(1);
        let a = gate.enter("a");
        let _b = gate.enter("b");
        let inside = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let _a = gate.enter("a");
                inside.store(true, Ordering::SeqCst);
            });
            assert!(!inside.load(Ordering::SeqCst));
            drop(a);
        });
        assert!(inside.into_inner());
    }
}
