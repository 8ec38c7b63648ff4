//! Ctrl-C and its like while keepers run: passed on to them, and we wait for their end. Otherwise
//! the shell would show its prompt before the lab is gone, and a shell inside a lab could not be
//! sent Ctrl-C.

use std::collections::BTreeMap;
use std::io::PipeWriter;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::{Error, Result};

static RECEIVED: AtomicI32 = AtomicI32::new(0);
static KEEPERS: Mutex<(u64, BTreeMap<u64, PipeWriter>)> = Mutex::new((0, BTreeMap::new()));

/// The signal that asked us to stop, if one did.
#[must_use]
pub fn received() -> Option<i32> {
    match RECEIVED.load(Ordering::SeqCst) {
        0 => None,
        signal => Some(signal),
    }
}

/// A keeper that hears of our signals until this is dropped. Dropping closes the lifeline.
#[derive(Debug)]
pub(super) struct Registered(u64);

impl Drop for Registered {
    fn drop(&mut self) {
        keepers().1.remove(&self.0);
    }
}

fn keepers() -> MutexGuard<'static, (u64, BTreeMap<u64, PipeWriter>)> {
    KEEPERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on this keeper hears of our signals.
pub(super) fn pass_on_to(writer: PipeWriter) -> Result<Registered> {
    listen()?;
    let mut keepers = keepers();
    keepers.0 += 1;
    let number = keepers.0;
    keepers.1.insert(number, writer);
    Ok(Registered(number))
}

/// Starts the listening thread, once per process.
fn listen() -> Result<()> {
    static STARTED: OnceLock<Result<(), std::io::ErrorKind>> = OnceLock::new();
    let started = STARTED.get_or_init(|| {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(|error| error.kind())?;
        thread::spawn(move || {
            for signal in signals.forever() {
                RECEIVED.store(signal, Ordering::SeqCst);
                let mut keepers = keepers();
                if keepers.1.is_empty() {
                    // Nothing of ours to wait for: die as if we had never listened.
                    let _ = signal_hook::low_level::emulate_default_handler(signal);
                }
                for writer in keepers.1.values_mut() {
                    super::tell(writer, signal);
                }
            }
        });
        Ok(())
    });
    started.as_ref().copied().map_err(|kind| Error::Io {
        doing: "listening for signals".into(),
        source: (*kind).into(),
    })
}
