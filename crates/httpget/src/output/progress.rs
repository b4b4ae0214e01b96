//! Progress bars on a terminal's stderr, one per transfer that has taken more
//! than a second.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A transfer that is done by then shows no bar.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a bar is looked after.
const STEP: Duration = Duration::from_millis(100);

// The name has what is left of the line: one that wraps is hard to read.
const KNOWN: &str = "{wide_msg} {bar:16} {percent}% {bytes}/{total_bytes} {bytes_per_sec} {eta}";
const UNKNOWN: &str = "{wide_msg} {spinner} {bytes} {bytes_per_sec}";

/// The bars of a run.
#[derive(Debug)]
pub(crate) struct Progress(Option<MultiProgress>);

/// The bar of one transfer; goes away when dropped.
#[derive(Debug)]
pub(crate) struct Bar {
    all: Option<MultiProgress>,
    name: String,
    start: u64,
    whole: Option<u64>,
    due: Instant,
    shown: Option<ProgressBar>,
}

impl Progress {
    /// With `shown` false nothing is ever drawn.
    pub(crate) fn new(shown: bool) -> Self {
        Self(shown.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10))))
    }

    /// The bar of a transfer that starts now, of which `start` bytes are
    /// there.
    pub(crate) fn bar(&self, name: &str, start: u64, whole: Option<u64>) -> Bar {
        let name = match &self.0 {
            Some(_) => common::text::escape(name.as_bytes()),
            None => "".into(),
        };
        Bar {
            all: self.0.clone(),
            name: name.into_owned(),
            start,
            whole,
            due: Instant::now() + PATIENCE,
            shown: None,
        }
    }

    /// Says something with the bars out of the way.
    pub(crate) fn aside(&self, say: impl FnOnce()) {
        match &self.0 {
            Some(all) => all.suspend(say),
            None => say(),
        }
    }
}

impl Bar {
    /// So many bytes are there.
    pub(crate) fn advance(&mut self, bytes: u64) {
        let Some(all) = &self.all else { return };
        let now = Instant::now();
        if now < self.due {
            return;
        }
        self.due = now + STEP;
        let bar = self.shown.get_or_insert_with(|| {
            let (bar, style) = match self.whole {
                Some(whole) => (ProgressBar::new(whole), KNOWN),
                None => (ProgressBar::no_length(), UNKNOWN),
            };
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            let bar = all.add(
                bar.with_position(self.start)
                    .with_message(self.name.clone()),
            );
            bar.reset_eta();
            bar
        });
        bar.set_position(bytes);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let (Some(bar), Some(all)) = (self.shown.take(), &self.all) {
            bar.finish_and_clear();
            all.remove(&bar);
        }
    }
}
