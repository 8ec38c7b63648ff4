//! What a review costs the webhook, beside a floor on the same stack.

use crate::client::{self, Connection};
use crate::corpus::{Class, Corpus, REVIEWS};
use crate::error::{Error, Result};
use crate::figures::{Pair, Row, Unit, percentile};
use crate::load::{self, Load, Pace};
use crate::process::{Process, Which};
use crate::report::{Table, say};
use infer_core::Engine;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Reviews per second of the open loops: far below what either side can do on one core, so that
/// latency is that of a review and not of a queue.
const RATE: f64 = 200.0;
/// An API server keeps this many connections to a webhook.
const CONNECTIONS: usize = 25;
/// Times a program is started for the cold start.
const STARTS: usize = 5;
/// The bar of CPU per review.
const BAR: f64 = 2.0;

type Requests = Arc<Vec<Vec<u8>>>;

/// Certificate and key for 127.0.0.1, ECDSA P-256.
struct Pair256 {
    directory: TempDir,
}

impl Pair256 {
    fn new() -> Result<Pair256> {
        let directory = TempDir::new().map_err(Error::io("making a temporary directory"))?;
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])
            .map_err(Error::of("making a certificate"))?;
        let pair = Pair256 { directory };
        let doing = "writing the bench's certificate";
        std::fs::write(pair.certificate(), made.cert.pem()).map_err(Error::io(doing))?;
        std::fs::write(pair.key(), made.signing_key.serialize_pem()).map_err(Error::io(doing))?;
        Ok(pair)
    }

    fn certificate(&self) -> PathBuf {
        self.directory.path().join("tls.crt")
    }

    fn key(&self) -> PathBuf {
        self.directory.path().join("tls.key")
    }

    fn start(&self, which: Which) -> Result<Process> {
        Process::start(which, &self.certificate(), &self.key())
    }
}

/// Figures of the rounds, by line; of each line as many as there are rounds.
#[derive(Default)]
struct Rounds {
    lines: Vec<(String, Unit, Vec<Option<Pair>>)>,
}

impl Rounds {
    fn add(&mut self, what: &str, unit: Unit, floor: Option<f64>, ours: Option<f64>) {
        let pair = floor.zip(ours).map(|(floor, ours)| Pair { floor, ours });
        match self.lines.iter_mut().find(|(name, ..)| name == what) {
            Some((_, _, rounds)) => rounds.push(pair),
            None => self.lines.push((what.to_owned(), unit, vec![pair])),
        }
    }

    fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        let row =
            |(what, unit, rounds): &(String, Unit, Vec<_>)| Row::compared(what, *unit, rounds);
        self.lines.iter().filter_map(row)
    }
}

const CPU: &str = "CPU per review, 8 connections, closed loop";

/// Measures; `rounds` count, one more comes before them and does not.
pub(crate) fn run(rounds: usize) -> Result<Table> {
    say("making 400 reviews");
    let corpus = Corpus::new(&Engine::builtin(), REVIEWS);
    let all: Requests = Arc::new(
        corpus
            .reviews
            .iter()
            .map(|it| client::request(&it.body))
            .collect(),
    );
    let of_class = |class: Class| -> Requests {
        let chosen = corpus.reviews.iter().filter(|it| it.class == class);
        Arc::new(chosen.map(|it| client::request(&it.body)).collect())
    };
    let pair = Pair256::new()?;
    let (mut table, mut measured) = (Table::new("webhook"), Rounds::default());

    say("cold starts");
    let mut cold = Vec::new();
    for _ in 0..STARTS {
        let first = |which| first_answer(&pair, which, &all);
        cold.push(Some(Pair {
            floor: first(Which::Floor)?,
            ours: first(Which::Webhook)?,
        }));
    }

    let (floor, ours) = (pair.start(Which::Floor)?, pair.start(Which::Engine)?);
    let webhook = pair.start(Which::Webhook)?;
    let idle = Pair {
        floor: floor.resident()?,
        ours: webhook.resident()?,
    };
    let patched = patched(&ours, &pair.certificate(), &all)?;
    let classes: Vec<(Class, Requests)> = Class::MIX
        .iter()
        .map(|(class, _)| (*class, of_class(*class)))
        .collect();
    for round in 0..=rounds {
        say(&format!(
            "round {round} of {rounds}{}",
            if round == 0 { " (not counted)" } else { "" }
        ));
        let mut of_round = Rounds::default();
        one_round(
            &mut of_round,
            [&floor, &ours, &webhook],
            &pair.certificate(),
            &all,
            &classes,
            round,
        )?;
        if round > 0 {
            for (what, unit, values) in of_round.lines {
                let pair = values.first().copied().flatten();
                measured.add(&what, unit, pair.map(|it| it.floor), pair.map(|it| it.ours));
            }
        }
    }
    table.rows.extend(measured.rows());
    table.rows.extend(Row::compared(
        "first answer after start",
        Unit::Seconds,
        &cold,
    ));
    table.rows.extend(Row::compared(
        "resident memory, idle",
        Unit::Bytes,
        &[Some(idle)],
    ));
    let peak = Pair {
        floor: floor.peak()?,
        ours: webhook.peak()?,
    };
    table.rows.extend(Row::compared(
        "resident memory, peak of this run",
        Unit::Bytes,
        &[Some(peak)],
    ));
    let ratio = table
        .rows
        .iter()
        .find(|row| row.what == CPU)
        .and_then(|row| row.ratio);
    table.verdict(CPU, ratio.map(|it| it[0]), BAR);
    table.note(&format!(
        "{REVIEWS} different bodies, {:.1} KB on average, {patched} % of them answered with a patch; \
         {rounds} rounds; open loops at {RATE:.0} reviews/s",
        all.iter().map(Vec::len).sum::<usize>() as f64 / all.len() as f64 / 1e3,
    ));
    Ok(table)
}

/// One round: every load on one side, then on the other, at once after it. Which side comes first
/// changes from round to round.
fn one_round(
    into: &mut Rounds,
    [floor, ours, webhook]: [&Process; 3],
    certificate: &Path,
    all: &Requests,
    classes: &[(Class, Requests)],
    round: usize,
) -> Result<()> {
    let both = |other: &Process, requests: &Requests, connections, pace, seconds: f64| {
        let time = Duration::from_secs_f64(seconds);
        let put = |server| load::run(server, certificate, requests, connections, pace, time);
        if round.is_multiple_of(2) {
            let first = put(floor)?;
            Ok::<_, Error>([first, put(other)?])
        } else {
            let first = put(other)?;
            Ok([put(floor)?, first])
        }
    };
    let closed = both(ours, all, 8, Pace::Closed, 2.0)?;
    compare(into, CPU, Unit::Seconds, &closed, |it| Some(it.cpu_each()));
    let single = both(ours, all, 1, Pace::Closed, 1.5)?;
    compare(
        into,
        "CPU per review, 1 connection, closed loop",
        Unit::Seconds,
        &single,
        |it| Some(it.cpu_each()),
    );
    for (class, requests) in classes {
        let loads = both(ours, requests, 8, Pace::Closed, 0.8)?;
        let bytes: usize = requests.iter().map(Vec::len).sum();
        let size = bytes as f64 / requests.len().max(1) as f64 / 1e3;
        let what = format!("CPU per review: {} ({size:.1} KB)", class.name());
        compare(into, &what, Unit::Seconds, &loads, |it| Some(it.cpu_each()));
    }
    let program = both(webhook, all, 8, Pace::Closed, 1.0)?;
    compare(
        into,
        "CPU per review, program without a cluster",
        Unit::Seconds,
        &program,
        |it| Some(it.cpu_each()),
    );
    for connections in [CONNECTIONS, 1] {
        let loads = both(ours, all, connections, Pace::Open(RATE), 2.5)?;
        for percent in [50.0, 99.0] {
            let s = if connections == 1 { "" } else { "s" };
            let what = format!("p{percent:.0}, {connections} connection{s}, open loop");
            compare(into, &what, Unit::Seconds, &loads, |it| {
                percentile(&it.latencies, percent)
            });
        }
    }
    compare(
        into,
        "p50, 1 connection, closed loop",
        Unit::Seconds,
        &single,
        |it| percentile(&it.latencies, 50.0),
    );
    compare(
        into,
        "answers, 8 connections",
        Unit::PerSecond,
        &closed,
        |it| Some(it.rate()),
    );
    Ok(())
}

fn compare(
    into: &mut Rounds,
    what: &str,
    unit: Unit,
    [floor, ours]: &[Load; 2],
    figure: impl Fn(&Load) -> Option<f64>,
) {
    into.add(what, unit, figure(floor), figure(ours));
}

/// From the start of the program to its first answer, TLS handshake included.
fn first_answer(pair: &Pair256, which: Which, requests: &Requests) -> Result<f64> {
    let trust = client::trust(&pair.certificate())?;
    let server = pair.start(which)?;
    let mut connection = Connection::open(server.address(), &trust)?;
    if let Some(request) = requests.first() {
        connection.send(request)?;
    }
    Ok(server.started().elapsed().as_secs_f64())
}

/// Sends each body once and looks at the answers, so that it is reviews that are measured: the
/// share with a patch, in percent.
fn patched(server: &Process, certificate: &Path, requests: &Requests) -> Result<usize> {
    let trust = client::trust(certificate)?;
    let mut connection = Connection::open(server.address(), &trust)?;
    let mut patched = 0;
    for request in requests.iter() {
        let answer: Value = serde_json::from_slice(connection.send(request)?)
            .map_err(Error::of("reading an answer"))?;
        let response = answer.get("response").unwrap_or(&Value::Null);
        if response.get("allowed").and_then(Value::as_bool) != Some(true) {
            return Err(Error::Failed(format!("a review is refused: {answer}")));
        }
        patched += usize::from(response.get("patch").is_some());
    }
    Ok(patched * 100 / requests.len().max(1))
}
