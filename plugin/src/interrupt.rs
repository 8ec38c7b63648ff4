//! Ctrl-C, for commands that still have something to say or to undo.

use tokio::sync::watch;

/// Tells when Ctrl-C was pressed. Clones hear the same.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    pressed: watch::Receiver<bool>,
}

impl Interrupt {
    /// Begins to listen; from here on Ctrl-C no longer ends the process by itself. Needs a tokio
    /// runtime.
    pub(crate) fn listen() -> Interrupt {
        let (sender, pressed) = watch::channel(false);
        tokio::spawn(async move {
            // Where the system cannot tell, nobody presses.
            if tokio::signal::ctrl_c().await.is_ok() {
                let _ = sender.send(true);
            }
            // Without a sender the receivers would take its end for a signal.
            sender.closed().await;
        });
        Interrupt { pressed }
    }

    /// Whether it was pressed already.
    pub(crate) fn is_pressed(&self) -> bool {
        *self.pressed.borrow()
    }

    /// Returns when it is pressed, at once if it was.
    pub(crate) async fn pressed(&self) {
        let mut pressed = self.pressed.clone();
        if pressed.wait_for(|pressed| *pressed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The result of some work; none where it was interrupted, and the work is dropped.
    pub(crate) async fn or<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            // What is done counts, also where both are ready.
            biased;
            done = work => Some(done),
            () = self.pressed() => None,
        }
    }
}
