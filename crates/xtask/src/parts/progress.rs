//! What a person sees while parts are got: a moving line per part on a terminal, else a line every
//! 15 seconds.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, IsTerminal};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::contain::Contained;
use crate::{Error, Result, say};

const HEARTBEAT: Duration = Duration::from_secs(15);

/// Each row's name and what goes on in it; nothing once it is done.
type States = Arc<Mutex<Vec<(String, Option<String>)>>>;

/// All the rows.
#[derive(Debug)]
pub struct Board {
    bars: Option<MultiProgress>,
    states: States,
    heart: Option<(Sender<()>, JoinHandle<()>)>,
    started: Instant,
}

/// One part's row.
#[derive(Debug)]
pub struct Row {
    name: String,
    index: usize,
    bar: Option<ProgressBar>,
    states: States,
    started: Instant,
}

/// What a program said on stderr, and how it ended.
#[derive(Debug)]
pub struct Log {
    /// Its exit code.
    pub code: i32,
    last: VecDeque<String>,
}

impl Board {
    /// An empty board on stderr.
    #[must_use]
    pub fn new() -> Self {
        let states: States = Arc::default();
        let started = Instant::now();
        if std::io::stderr().is_terminal() {
            return Self {
                bars: Some(MultiProgress::new()),
                states,
                heart: None,
                started,
            };
        }
        let (stop, stopped) = mpsc::channel::<()>();
        let shown = Arc::clone(&states);
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(HEARTBEAT) == Err(mpsc::RecvTimeoutError::Timeout) {
                for (name, state) in shown.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                    if let Some(state) = state {
                        let time = say::duration(started.elapsed());
                        say::line(&format!("{name}: {state} ({time} so far)"));
                    }
                }
            }
        });
        Self {
            bars: None,
            states,
            heart: Some((stop, thread)),
            started,
        }
    }

    /// A new row.
    #[must_use]
    pub fn row(&self, name: &str) -> Row {
        let bar = self.bars.as_ref().map(|bars| {
            let style = ProgressStyle::with_template("{spinner} {prefix}: {wide_msg} {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = bars.add(ProgressBar::new_spinner().with_style(style));
            bar.set_prefix(name.to_string());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.push((name.to_string(), None));
        Row {
            name: name.to_string(),
            index: states.len() - 1,
            bar,
            states: Arc::clone(&self.states),
            started: self.started,
        }
    }
}

impl Default for Board {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.heart.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

impl Row {
    /// What goes on now.
    pub fn note(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_string()),
            None if self.set(Some(text)) => say::line(&format!("{}: {text}", self.name)),
            None => {}
        }
    }

    /// The same, for what changes many times a second.
    pub(super) fn tick(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_string()),
            None => {
                self.set(Some(text));
            }
        }
    }

    /// The end of this row.
    pub fn done(&mut self, text: &str) {
        self.set(None);
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        say::line(&format!(
            "{}: {text} ({})",
            self.name,
            say::duration(self.started.elapsed())
        ));
    }

    /// Sets the state; whether it is another than before.
    fn set(&self, text: Option<&str>) -> bool {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut states[self.index].1;
        let text = text.map(ToString::to_string);
        let changed = *state != text;
        *state = text;
        changed
    }

    /// Shows a program's stderr (which must be piped) in this row until it ends; `show` makes a
    /// state of a line.
    ///
    /// # Errors
    ///
    /// When waiting fails or a signal asked us to stop.
    pub fn follow(
        &mut self,
        mut program: Contained,
        mut show: impl FnMut(&str) -> String,
    ) -> Result<Log> {
        let mut last = VecDeque::new();
        if let Some(stderr) = program.take_stderr() {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                self.tick(&show(&line));
                if last.len() == 20 {
                    last.pop_front();
                }
                last.push_back(line);
            }
        }
        let code = program.wait()?;
        if let Some(signal) = crate::contain::signals::received() {
            return Err(Error::Interrupted(signal));
        }
        Ok(Log { code, last })
    }
}

impl Log {
    /// Its last lines.
    #[must_use]
    pub fn tail(&self) -> String {
        self.last.iter().cloned().collect::<Vec<_>>().join("\n")
    }
}
