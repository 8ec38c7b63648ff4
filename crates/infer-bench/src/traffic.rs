//! What the client's stamps are worth: beside the kernel's receive time, and its histogram beside
//! that of oha.
//!
//! Server, packet capture and both tools run in the lab's own network. The tools take turns on one
//! core, the other has the server and the capture. This process is on the latter.

mod beside;
mod capture;
mod clock;
mod distribution;
pub(crate) mod generate;
mod join;
mod page;
pub(crate) mod server;

use crate::error::{Error, Result};
use crate::process::Process;
use crate::report::{Form, Setting, say, write_into};
use capture::Capture;
use clock::{Conversion, nanos};
use distribution::Distribution;
use generate::{Generated, Sample};
use infer_tests::observer::Conversation;
use page::{Found, Lateness};
use std::io::Write;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The core that the tools take turns on.
const GENERATOR_CORE: &str = "0";
/// What a round may take beyond its requests.
const GRACE: Duration = Duration::from_secs(30);
/// Requests before the rounds, which are not counted.
const WARM_UP: u64 = 500;

/// Stamps beside the kernel's receive time, and our histogram beside oha's (root, in a lab)
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The program oha; nothing is compared without
    #[arg(long, value_name = "FILE")]
    oha: Option<PathBuf>,
    /// Requests in a second
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// Requests of each tool in each round
    #[arg(long, default_value_t = 10_000)]
    requests: u64,
}

/// One round of one tool.
#[derive(Debug)]
struct Round {
    /// From the start to the end of a request, as the tool says.
    latency: Distribution,
    /// From the SYN to the last byte of the answer, as the capture says.
    wire: Distribution,
}

struct Bench<'a> {
    arguments: &'a Arguments,
    server: Process,
    address: SocketAddrV4,
    directory: tempfile::TempDir,
}

/// Measures, prints, and puts the result into a page where one is named.
pub(crate) fn run(
    arguments: &Arguments,
    rounds: usize,
    form: Form,
    update: Option<&Path>,
) -> Result<()> {
    let Some(state) = std::env::var_os("INFER_LAB_STATE") else {
        return Err(Error::Failed(
            "this needs the network of a lab. Run it with: cargo xtask bench traffic".to_owned(),
        ));
    };
    let setting = Setting::now();
    let bench = Bench::start(arguments, Path::new(&state))?;
    say("warming up");
    bench.ours(WARM_UP)?;
    if let Some(oha) = &arguments.oha {
        bench.theirs(oha, WARM_UP)?;
    }
    let (mut ours, mut theirs, mut late) = (Vec::new(), Vec::new(), Lateness::default());
    for round in 1..=rounds {
        say(&format!("round {round} of {rounds}: kubectl-infer"));
        let (one, lateness) = bench.ours(arguments.requests)?;
        ours.push(one);
        late.add(lateness);
        if let Some(oha) = &arguments.oha {
            say(&format!("round {round} of {rounds}: oha"));
            theirs.push(bench.theirs(oha, arguments.requests)?);
        }
    }
    let version = arguments.oha.as_deref().map(tool_version).transpose()?;
    let found = Found::of(arguments, version, &late, &ours, &theirs);
    drop(bench);
    if let Some(page) = update {
        write_into(page, page::MARKS, &found.markdown(&setting))?;
    }
    let text = match form {
        Form::Json => found.json(&setting),
        Form::Markdown => found.markdown(&setting),
        Form::Text => found.text(&setting),
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(Error::io("printing the results"))
}

impl<'a> Bench<'a> {
    fn start(arguments: &'a Arguments, state: &Path) -> Result<Bench<'a>> {
        let mut command = own_program()?;
        command.arg("traffic-server");
        let server = Process::launch(command, "the bench's server")?;
        let SocketAddr::V4(address) = server.address() else {
            return Err(Error::Failed("the server listens on IPv6".to_owned()));
        };
        // The lab's own memory: gone with it, whatever becomes of us.
        let directory = tempfile::TempDir::new_in(state)
            .map_err(Error::io("making a temporary directory for captures"))?;
        Ok(Bench {
            arguments,
            server,
            address,
            directory,
        })
    }

    fn url(&self) -> String {
        format!("http://{}/", self.server.address())
    }

    /// Runs a tool under the capture.
    fn captured(&self, mut tool: Command, count: u64) -> Result<Vec<Conversation>> {
        let capture = Capture::start(self.address, self.directory.path())?;
        let sending = Duration::from_secs_f64(count as f64 / self.arguments.rate);
        finish(&mut tool, sending + GRACE)?;
        capture.end()
    }

    fn ours(&self, count: u64) -> Result<(Round, Lateness)> {
        let to = self.directory.path().join("samples.json");
        let mut tool = Command::new("taskset");
        tool.args(["-c", GENERATOR_CORE])
            .arg(own_file()?)
            .args(["traffic-generate", "--url", &self.url()])
            .args(["--rate", &self.arguments.rate.to_string()])
            .args(["--count", &count.to_string(), "--to"])
            .arg(&to);
        let wire = self.captured(tool, count)?;
        let text = std::fs::read(&to).map_err(Error::io("reading the samples"))?;
        let generated: Generated =
            serde_json::from_slice(&text).map_err(Error::of("reading the samples"))?;
        whole("kubectl-infer", generated.samples.len(), count)?;
        if let Some(failure) = generated.samples.iter().find_map(|it| it.failure.as_ref()) {
            return Err(Error::Failed(format!("a request failed: {failure}")));
        }
        let latency = generated.samples.iter().filter_map(|sample| {
            let end = sample.end?;
            Some(end - sample.started)
        });
        let round = Round {
            latency: Distribution::of(latency.collect()),
            wire: on_the_wire(&wire),
        };
        let late = lateness(&generated, &wire);
        if late.end.len() * 100 < generated.samples.len() * 99 {
            return Err(Error::Failed(format!(
                "only {} of {} requests were found in the capture, by their port",
                late.end.len(),
                generated.samples.len()
            )));
        }
        Ok((round, late))
    }

    fn theirs(&self, oha: &Path, count: u64) -> Result<Round> {
        let to = self.directory.path().join("oha.csv");
        let rate = self.arguments.rate;
        let tool = beside::command(oha, &self.url(), rate, count, &to);
        let wire = self.captured(tool, count)?;
        let csv = std::fs::read_to_string(&to).map_err(Error::io("reading what oha wrote"))?;
        let latency = beside::latencies(&csv)?;
        whole("oha", latency.len(), count)?;
        Ok(Round {
            latency: Distribution::of(latency),
            wire: on_the_wire(&wire),
        })
    }
}

fn tool_version(program: &Path) -> Result<String> {
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(Error::io("asking oha for its version"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A round in which a request is missing is none.
fn whole(tool: &str, answered: usize, count: u64) -> Result<()> {
    if answered as u64 == count {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "{tool} has {answered} answers of {count} requests"
    )))
}

/// From the SYN to the last byte of the answer.
fn on_the_wire(wire: &[Conversation]) -> Distribution {
    let times = wire.iter().filter(|it| !it.missing).filter_map(|it| {
        let last = it.last_byte?;
        Some(nanos(last.saturating_sub(it.began)))
    });
    Distribution::of(times.collect())
}

/// Each request's stamps against what the capture says of its connection.
fn lateness(generated: &Generated, wire: &[Conversation]) -> Lateness {
    let Generated {
        conversion,
        samples,
    } = generated;
    let requests: Vec<(&Sample, join::Opened)> = samples
        .iter()
        .filter_map(|sample| Some((sample, (sample.port?, conversion.real(sample.started)))))
        .collect();
    let seen: Vec<&Conversation> = wire.iter().filter(|it| !it.missing).collect();
    let ports: Vec<join::Opened> = requests.iter().map(|(_, opened)| *opened).collect();
    let began: Vec<join::Opened> = seen
        .iter()
        .map(|it| (it.client.port(), nanos(it.began)))
        .collect();
    let mut late = Lateness::of(conversion);
    let lag = samples.iter().map(|it| it.started - it.intended);
    late.lag.extend(lag);
    for (request, connection) in join::by_port(&ports, &began) {
        let (Some((sample, _)), Some(seen)) = (requests.get(request), seen.get(connection)) else {
            continue;
        };
        late.compare(sample, seen, conversion);
    }
    late
}

impl Lateness {
    fn compare(&mut self, sample: &Sample, seen: &Conversation, conversion: &Conversion) {
        let behind = |stamp: Option<i64>, kernel: Option<Duration>| {
            Some(conversion.real(stamp?) - nanos(kernel?))
        };
        self.first_byte
            .extend(behind(sample.first_byte, seen.first_byte));
        self.end.extend(behind(sample.end, seen.last_byte));
        let syn = nanos(seen.began);
        self.syn.push(syn - conversion.real(sample.intended));
    }
}

fn own_file() -> Result<PathBuf> {
    std::env::current_exe().map_err(Error::io("finding the bench's own program"))
}

fn own_program() -> Result<Command> {
    Ok(Command::new(own_file()?))
}

/// Runs a command to a good end, or kills it when its time is over.
fn finish(command: &mut Command, within: Duration) -> Result<()> {
    let name = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(Error::io(format!("starting {name}")))?;
    let until = Instant::now() + within;
    loop {
        let ended = child
            .try_wait()
            .map_err(Error::io(format!("waiting for {name}")))?;
        match ended {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(Error::Failed(format!("{name} ended with {status}"))),
            None if Instant::now() > until => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Error::Failed(format!(
                    "{name} is not done after {within:?}"
                )));
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
