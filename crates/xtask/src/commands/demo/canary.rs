//! A second version that answers one request of five with an error, and is taken back.

use std::time::Duration;

use xtask::lab::exercise::Exercise;
use xtask::{Result, images, say};

/// Gives it a share, and shows how it ends.
pub(super) fn run(exercise: &Exercise) -> Result<()> {
    say::heading("12. A second version that is worse");
    say::line(
        "It answers one request of five with an error. It gets 25 % of the requests of the route\n\
         from a second Ingress, and loses them again.\n",
    );
    exercise.until_ready(Duration::from_secs(60))?;
    let image = format!("--image={}", images::flawed::ERRORS_20.image());
    super::kubectl(
        &[
            "infer",
            "canary",
            "start",
            "deployment/llama",
            "-n",
            &exercise.namespace,
            &image,
            "--steps=25,50",
            "--step-time=10s",
            "--synthetic=10/s",
            "--yes",
        ],
        // Rolled back.
        &[2],
    )
}
