//! Parallel transfers: a pool of threads that grows with the operands up to a
//! limit, and a limit per host.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use common::{Error, Result};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `work` on each item with its index, in up to `max` threads. The first
/// error ends the run: items in progress are finished, and items that were taken
/// but not started are passed to `skip`.
pub(crate) fn run<T>(
    items: impl Iterator<Item = T> + Send,
    max: usize,
    work: impl Fn(usize, T) -> Result<()> + Sync + Send,
    skip: impl Fn(usize) + Sync + Send,
) -> Result<()> {
    let pool = WorkerPool {
        queue: Mutex::new((items.fuse(), 0)),
        threads: AtomicUsize::new(1),
        max,
        is_stopped: AtomicBool::new(false),
        failure: Mutex::new(None),
        work,
        skip,
    };
    thread::scope(|scope| pool.work_loop(scope));
    match lock(&pool.failure).take() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// The shared state of the threads of a run.
struct WorkerPool<I, W, S> {
    /// The remaining items and the index of the next one. The lock is held while
    /// waiting for an item, so input is read no faster than it is processed.
    queue: Mutex<(I, usize)>,
    threads: AtomicUsize,
    max: usize,
    is_stopped: AtomicBool,
    failure: Mutex<Option<Error>>,
    work: W,
    skip: S,
}

impl<T, I, W, S> WorkerPool<I, W, S>
where
    I: Iterator<Item = T> + Send,
    W: Fn(usize, T) -> Result<()> + Sync + Send,
    S: Fn(usize) + Sync + Send,
{
    /// Processes items until none are left. With each item it takes, it starts
    /// another thread that waits for the next one, up to the limit.
    fn work_loop<'scope>(&'scope self, scope: &'scope thread::Scope<'scope, '_>) {
        while let Some((index, item)) = self.next() {
            if self.is_stopped.load(Ordering::SeqCst) {
                (self.skip)(index);
                continue;
            }
            self.grow(scope);
            if let Err(error) = (self.work)(index, item) {
                self.is_stopped.store(true, Ordering::SeqCst);
                lock(&self.failure).get_or_insert(error);
            }
        }
    }

    fn next(&self) -> Option<(usize, T)> {
        let mut queue = lock(&self.queue);
        if self.is_stopped.load(Ordering::SeqCst) {
            return None;
        }
        let item = queue.0.next()?;
        let index = queue.1;
        queue.1 += 1;
        Some((index, item))
    }

    fn grow<'scope>(&'scope self, scope: &'scope thread::Scope<'scope, '_>) {
        let more = |n: usize| (n < self.max).then_some(n + 1);
        let grown = self
            .threads
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
        if let Ok(number) = grown {
            let name = format!("transfer {number}");
            let spawned = thread::Builder::new()
                .name(name)
                .spawn_scoped(scope, || self.work_loop(scope));
            // The run continues with fewer threads and starts no more.
            if spawned.is_err() {
                self.threads.store(self.max, Ordering::SeqCst);
            }
        }
    }
}

/// A limit on the number of simultaneous transfers per host.
#[derive(Debug)]
pub(crate) struct HostLimiter {
    max: usize,
    active: Mutex<HashMap<String, usize>>,
    released: Condvar,
}

/// A permit for one transfer, released on drop.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    limiter: &'a HostLimiter,
    key: String,
}

impl HostLimiter {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            active: Mutex::default(),
            released: Condvar::new(),
        }
    }

    /// Waits until the host is below the limit.
    pub(crate) fn acquire(&self, key: &str) -> Permit<'_> {
        let mut active = self
            .released
            .wait_while(lock(&self.active), |active| {
                active.get(key).is_some_and(|&count| count >= self.max)
            })
            .unwrap_or_else(PoisonError::into_inner);
        *active.entry(key.to_owned()).or_default() += 1;
        Permit {
            limiter: self,
            key: key.to_owned(),
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut active = lock(&self.limiter.active);
        if let Some(count) = active.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                active.remove(&self.key);
            }
        }
        self.limiter.released.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::Kind;

    #[test]
    fn every_item_is_processed_within_the_limit() {
        let (active, max_active, sum) = (
            AtomicUsize::new(0),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
        );
        run(
            1..=100usize,
            4,
            |index, item| {
                assert_eq!(index + 1, item);
                max_active.fetch_max(active.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::yield_now();
                active.fetch_sub(1, Ordering::SeqCst);
                sum.fetch_add(item, Ordering::SeqCst);
                Ok(())
            },
            |_| (),
        )
        .unwrap();
        assert_eq!(sum.into_inner(), 5050);
        assert!(max_active.into_inner() <= 4);
    }

    #[test]
    fn an_error_ends_the_run() {
        // Each item waits for the one before it, as with --ordered, so every
        // item must be either processed or skipped.
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
    fn the_limit_counts_per_host() {
        let limiter = HostLimiter::new(1);
        let a = limiter.acquire("a");
        let _b = limiter.acquire("b");
        let active = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let _a = limiter.acquire("a");
                active.store(true, Ordering::SeqCst);
            });
            assert!(!active.load(Ordering::SeqCst));
            drop(a);
        });
        assert!(active.into_inner());
    }
}
