//! Reviews in this very process, without sockets: what a profiler is pointed at.

use crate::corpus::{Class, Corpus, REVIEWS};
use crate::error::{Error, Result};
use crate::figures::Unit;
use infer_core::Engine;
use infer_core::admission;
use infer_webhook::review_request::parse;
use std::io::Write;
use std::time::{Duration, Instant};

/// Review every body of the corpus, again and again
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often
    #[arg(long, default_value_t = 20)]
    times: u16,
    /// Parse, and no more
    #[arg(long)]
    parse_only: bool,
}

/// Runs it, and says how long a parse and a review took.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let engine = Engine::builtin();
    let corpus = Corpus::new(&engine, REVIEWS);
    let mut text = String::new();
    for (class, _) in Class::MIX {
        let (mut parsing, mut reviewing) = (Duration::ZERO, Duration::ZERO);
        let mut count = 0_u32;
        for _ in 0..arguments.times {
            for review in corpus.reviews.iter().filter(|it| it.class == class) {
                let began = Instant::now();
                let incoming = parse(&review.body).map_err(Error::of("parsing a review"))?;
                parsing += began.elapsed();
                count += 1;
                let began = Instant::now();
                if let Some(request) = incoming.to_review().filter(|_| !arguments.parse_only) {
                    std::hint::black_box(admission::mutate(&engine, &corpus.snapshot, &request));
                }
                reviewing += began.elapsed();
            }
        }
        let each =
            |time: Duration| Unit::Seconds.show(time.as_secs_f64() / f64::from(count.max(1)));
        text.push_str(&format!(
            "{:<28} parse {:>8}  review {:>8}\n",
            class.name(),
            each(parsing),
            each(reviewing)
        ));
    }
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(Error::io("printing"))
}
