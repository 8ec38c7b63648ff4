//! `cargo xtask generate`

use clap::Args;
use xtask::{Error, Result, pages, say, workspace};

/// Write the pages that are derived from the engine
///
/// A test fails while one of them is stale.
#[derive(Debug, Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments) -> Result<i32> {
    for page in pages::all() {
        let file = workspace::root().join(page.path);
        std::fs::write(&file, page.text)
            .map_err(Error::io(format!("writing {}", file.display())))?;
        say::line(page.path);
    }
    Ok(0)
}
