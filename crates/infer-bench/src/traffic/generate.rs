//! Our generator as a process of its own, so that it can be given one core.

use super::clock::{Conversion, Reading, nanos};
use crate::error::{Error, Result};
use infer_traffic::schedule::{Driven, on_one_core};
use infer_traffic::{Call, Exchange, Header, Limits, Target};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Send requests as `test --requests --rate` does, on one thread, and write down every stamp
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    url: String,
    #[arg(long)]
    rate: f64,
    #[arg(long)]
    count: u64,
    /// Where the document goes
    #[arg(long)]
    to: PathBuf,
}

/// One request: the client's port, and stamps in nanoseconds since the start of the run's clock.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Sample {
    pub(crate) port: Option<u16>,
    pub(crate) intended: i64,
    pub(crate) started: i64,
    pub(crate) first_byte: Option<i64>,
    pub(crate) end: Option<i64>,
    /// None where the answer was whole and below status 400.
    pub(crate) failure: Option<String>,
}

/// What the process writes.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Generated {
    pub(crate) conversion: Conversion,
    pub(crate) samples: Vec<Sample>,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let target = Target::from_url(&arguments.url, None).map_err(Error::of("reading --url"))?;
    let call = Call {
        method: "GET".to_owned(),
        headers: vec![Header::new("user-agent", "infer-bench")],
        body: None,
        stream: false,
        limits: Limits::default(),
    };
    // On a clock of its own, and moved to that of the run when there is one.
    let opened = Instant::now();
    let before = Reading::take(opened);
    let (clock, driven) = on_one_core(&target, arguments.rate, arguments.count, |_| call.clone())
        .map_err(Error::io("starting tokio"))?;
    let start = clock.instant(Duration::ZERO).into_std();
    let conversion = Conversion {
        before: Reading {
            monotonic: before.monotonic - nanos(start.saturating_duration_since(opened)),
            ..before
        },
        after: Reading::take(start),
    };
    let document = Generated {
        conversion,
        samples: samples(&driven),
    };
    let text = serde_json::to_vec(&document).map_err(Error::of("writing the samples down"))?;
    let name = arguments.to.display();
    std::fs::write(&arguments.to, text).map_err(Error::io(format!("writing {name}")))
}

fn samples(driven: &Driven<Exchange>) -> Vec<Sample> {
    let all = driven.results.iter();
    all.map(|(_, exchange)| Sample {
        port: exchange.local.map(|local| local.port()),
        intended: nanos(exchange.intended),
        started: nanos(exchange.started),
        first_byte: exchange.stamps.first_byte.map(nanos),
        end: exchange.stamps.end.map(nanos),
        failure: exchange
            .failure
            .as_ref()
            .map(|failure| failure.message.clone()),
    })
    .collect()
}
