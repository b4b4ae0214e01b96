//! Tests of the log with streams that are slow, stuck or failing.

use super::*;
use std::sync::mpsc;

/// A stream that performs one write per token: at most that many bytes, or an
/// error. Once the tokens end, it accepts everything.
struct GatedStream {
    tokens: mpsc::Receiver<std::io::Result<usize>>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Write for GatedStream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let most = self.tokens.recv().unwrap_or(Ok(usize::MAX))?;
        let n = bytes.len().min(most);
        self.written.lock().unwrap().extend_from_slice(&bytes[..n]);
        Ok(n)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

type Tokens = mpsc::Sender<std::io::Result<usize>>;

/// A flush timeout that never expires in a test.
const LONG: Duration = Duration::from_secs(600);

fn gated_log(flush_timeout: Duration) -> (Log, Tokens, Arc<Mutex<Vec<u8>>>) {
    let (sender, tokens) = mpsc::channel();
    let written = Arc::new(Mutex::new(Vec::new()));
    let stream = GatedStream {
        tokens,
        written: Arc::clone(&written),
    };
    let log = Log {
        queue: Some(Queue::start("log", stream, flush_timeout).unwrap()),
        format: Format::Text,
        verbose: true,
    };
    (log, sender, written)
}

fn log_event(log: &Log, n: u64) {
    log.event(&Event::Listening {
        address: &Address::Unnamed(n),
        protocol: Protocol::Unix,
    });
    log.wake_writer();
}

#[test]
fn records_are_written_in_order() {
    let (log, tokens, written) = gated_log(LONG);
    drop(tokens);
    for n in 0..1000 {
        log_event(&log, n);
    }
    log.flush();
    let mut expected = String::new();
    for n in 0..1000 {
        expected += "listening\tunix:#";
        expected += &n.to_string();
        expected.push('\n');
    }
    assert_eq!(*written.lock().unwrap(), expected.as_bytes());
    assert_eq!(log.dropped(), 0);
}

#[test]
fn a_stuck_stream_costs_only_events() {
    let (log, _tokens, _) = gated_log(Duration::from_millis(50));
    let count = 2 * (MAX_QUEUE / "listening\tunix:#1000000\n".len()) as u64;
    for n in 0..count {
        log_event(&log, 1_000_000 + n);
    }
    assert!(log.dropped() > count / 3);
    log.flush();
    // Nothing was written, so all records are lost.
    assert_eq!(log.dropped(), count);
    // The stream was abandoned, so this record does not even wait in the queue.
    log_event(&log, 1);
    assert_eq!(log.dropped(), count + 1);
}

#[test]
fn written_records_are_not_counted_as_dropped() {
    let (log, tokens, _) = gated_log(Duration::from_millis(50));
    for n in 1..=3 {
        log.event(&Event::Listening {
            address: &Address::Unnamed(n),
            protocol: Protocol::Unix,
        });
    }
    tokens.send(Ok("listening\tunix:#1\n".len())).unwrap();
    log.wake_writer();
    while log.queue.as_ref().unwrap().lock().successful_writes == 0 {
        thread::yield_now();
    }
    log.flush();
    assert_eq!(log.dropped(), 2);
}

#[test]
fn a_full_queue_drops_records() {
    let (log, _tokens, _) = gated_log(Duration::ZERO);
    // The thread takes the first record and cannot write it, so all others
    // stay in the queue.
    log_event(&log, 1);
    let queue = log.queue.as_ref().unwrap();
    let mut state = queue.lock();
    while state.records_in_write == 0 {
        drop(state);
        thread::yield_now();
        state = queue.lock();
    }
    drop(state);
    let record = vec![b'x'; MAX_QUEUE / 2 - 1];
    for _ in 0..3 {
        log.event(&Event::Received {
            peer: &Address::Unnamed(1),
            protocol: Protocol::Unix,
            data: &record,
        });
        assert!(queue.lock().buffer.len() <= MAX_QUEUE);
    }
    assert_eq!(log.dropped(), 2);
}

#[test]
fn the_stall_timer_expires_if_the_counter_does_not_change() {
    let ms = Duration::from_millis;
    let start = Instant::now();
    let mut stall = StallTimer::new(ms(500), 7, start);
    assert_eq!(stall.remaining(7, start + ms(100)), ms(400));
    // Only a change restarts the timer.
    assert_eq!(stall.remaining(8, start + ms(400)), ms(500));
    assert_eq!(stall.remaining(8, start + ms(800)), ms(100));
    assert_eq!(stall.remaining(9, start + ms(1200)), ms(500));
    assert_eq!(stall.remaining(9, start + ms(1700)), ms(0));
    assert_eq!(stall.remaining(9, start + ms(9000)), ms(0));
}

#[test]
fn every_write_restarts_the_flush_timeout() {
    let (log, tokens, _) = gated_log(LONG);
    for _ in 0..3 {
        tokens.send(Ok(8)).unwrap();
    }
    drop(tokens);
    log_event(&log, 1);
    log.flush();
    // 20 bytes, at most 8 per write.
    assert_eq!(log.queue.as_ref().unwrap().lock().successful_writes, 3);
}

/// A pipe is writable if it has room for 4096 bytes; a longer write could block
/// half-way.
#[test]
fn no_write_is_longer_than_a_writable_pipe_accepts() {
    let (log, tokens, written) = gated_log(LONG);
    log.event(&Event::Received {
        peer: &Address::Unnamed(1),
        protocol: Protocol::Unix,
        data: &vec![b'x'; 5 * MAX_WRITE],
    });
    for _ in 0..2 {
        tokens.send(Ok(usize::MAX)).unwrap();
    }
    tokens
        .send(Err(std::io::ErrorKind::StorageFull.into()))
        .unwrap();
    drop(tokens);
    log.flush();
    assert_eq!(written.lock().unwrap().len(), 2 * MAX_WRITE);
    assert_eq!(log.dropped(), 1);
}

#[test]
fn a_non_blocking_stream_loses_no_records() {
    let (log, tokens, written) = gated_log(LONG);
    tokens
        .send(Err(std::io::ErrorKind::WouldBlock.into()))
        .unwrap();
    tokens
        .send(Err(std::io::ErrorKind::Interrupted.into()))
        .unwrap();
    drop(tokens);
    log_event(&log, 1);
    log.flush();
    assert_eq!(*written.lock().unwrap(), b"listening\tunix:#1\n");
    assert_eq!(log.dropped(), 0);
}

#[test]
fn after_a_failed_write_the_next_record_has_a_line_of_its_own() {
    let (log, tokens, written) = gated_log(LONG);
    tokens.send(Ok(4)).unwrap();
    tokens
        .send(Err(std::io::ErrorKind::StorageFull.into()))
        .unwrap();
    log_event(&log, 1);
    log.flush();
    assert_eq!(log.dropped(), 1);
    drop(tokens);
    log_event(&log, 2);
    log.flush();
    assert_eq!(*written.lock().unwrap(), b"list\nlistening\tunix:#2\n");
    assert_eq!(log.dropped(), 1);
}
