//! `canary start`: begins a run, or goes on with one that was left.

use super::drive::{self, Traffic};
use super::{Common, failed, stored};
use crate::canary::{begin, now};
use crate::command::{Outcome, Session};
use crate::confirm;
use crate::duration;
use crate::exit::Exit;
use crate::flags::Output;
use crate::print;
use crate::problem::Problem;
use crate::request::RequestFlags;
use infer_canary::gate::Limits;
use infer_canary::journal::Journal;
use infer_canary::machine::{End, Plan, State, Wish};
use infer_canary::shift::{Named, Original, Shift};
use infer_canary::version::{Changed, Image, SetArg, Version};
use infer_cluster::{Cluster, RequestError};
use infer_core::catalogue::Catalogue;
use serde_json::Value;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  # Show what would be created, and do nothing
  kubectl infer canary start deployment/llama -n inference --image=server:b4812 --dry-run=client

  # Give a second image 5, 25, then 50 % of the requests; promote it, or take it back
  kubectl infer canary start deployment/llama -n inference --image=server:b4812

  # The same image with another argument, in two steps of two minutes
  kubectl infer canary start deployment/llama -n inference --set-arg=--ctx-size=8192 \\
    --steps=10,50 --step-time=2m --yes

  # Go on with a run that was left
  kubectl infer canary start deployment/llama -n inference
";

const EXIT_CODES: &str = "\
How it is judged:
  Each step lasts --step-time at least, and until the difference to the stable version is surely
  within its limit. An early step risks less, so it asks for less: before the canary gets 25 % of
  the requests, four times the limit must be excluded; before a promotion the limit itself. A step
  without traffic holds: it is never passed and never failed for that.

Exit codes:
  0    promoted
  1    bad usage, refused, or a cluster that does not let it
  2    rolled back
  3    somebody else changed the route: paused, nothing is written until a person decides
  4    inconclusive for longer than --hold: the run stays as it is
  130  interrupted: the run stays as it is, and goes on when it is started again
";

/// Begin a canary, or go on with one that was left
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES, after_long_help = EXIT_CODES)]
pub(crate) struct Args {
    /// Image of the canary: IMAGE, or CONTAINER=IMAGE
    #[arg(long, value_name = "IMAGE", value_parser = Image::parse)]
    image: Option<Image>,
    /// Argument of the canary's server, as `--set-arg=--ctx-size=8192`; may be repeated
    #[arg(long, value_name = "--NAME=VALUE", allow_hyphen_values = true, value_parser = SetArg::parse)]
    set_arg: Vec<SetArg>,
    /// A Deployment that is there already, instead of one that is created
    #[arg(long, value_name = "deployment/NAME", conflicts_with_all = ["image", "set_arg", "replicas"])]
    to: Option<String>,
    /// The route whose requests are shared, where several lead to the workload
    #[arg(long, value_name = "KIND/NAME", value_parser = route)]
    route: Option<Named>,
    /// Replicas of the canary
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    replicas: u32,
    /// Percent of the requests that the canary gets, step by step
    #[arg(long, value_name = "PERCENT,…", default_value = "5,25,50", value_delimiter = ',',
        value_parser = clap::value_parser!(u8).range(1..=99))]
    steps: Vec<u8>,
    /// How long a step lasts at least
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration::parse)]
    step_time: Duration,
    /// Requests a second of our own: `5`, `5/s`
    #[arg(long, value_name = "R", default_value = "5", value_parser = synthetic)]
    synthetic: f64,
    /// Points of errors that the canary may have more
    #[arg(long, value_name = "POINTS", default_value_t = 1.0, value_parser = points, help_heading = "Gate")]
    max_errors: f64,
    /// Times that the canary's 95th percentile of the time to first token may be longer
    #[arg(long, value_name = "FACTOR", default_value_t = 1.5, value_parser = factor, help_heading = "Gate")]
    max_ttft: f64,
    /// How long the canary's pods may take to become ready
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration::parse, help_heading = "Gate")]
    ready_timeout: Duration,
    /// End with exit code 4 where a step holds for longer; default: hold on
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, help_heading = "Gate")]
    hold: Option<Duration>,
    /// Show what would be done, from what is read: `client` writes nothing at all, `server` lets the API server check the objects
    #[arg(long, value_enum, value_name = "WHERE", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: Option<DryRun>,
    /// Print the objects and patches, and write nothing: for a cluster that another tool writes
    #[arg(long, conflicts_with = "dry_run")]
    print_patch: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    request: RequestFlags,
    #[command(flatten)]
    common: Common,
}

/// Who checks what would be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum DryRun {
    Client,
    Server,
}

fn route(text: &str) -> Result<Named, String> {
    match text.split_once('/') {
        Some((kind, name)) if !kind.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(Named::new(kind, name))
        }
        _ => Err("KIND/NAME is wanted, as `ingress/llama`".to_owned()),
    }
}

/// More requests a second than this are a typing error: this is no load generator.
const MOST_RATE: f64 = 200.0;

fn synthetic(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    match number.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= MOST_RATE => Ok(rate),
        _ => Err(format!(
            "requests a second, above 0 and up to {MOST_RATE}: `5` or `5/s`"
        )),
    }
}

fn points(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(points) if points > 0.0 && points <= 100.0 => Ok(points),
        _ => Err("percentage points, above 0: `1`, `0.5`".to_owned()),
    }
}

fn factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if factor > 1.0 && factor.is_finite() => Ok(factor),
        _ => Err("a factor above 1: `1.5`".to_owned()),
    }
}

impl Args {
    fn version(&self) -> Option<Version> {
        if let Some(second) = &self.to {
            let name = second
                .split_once('/')
                .map_or(second.as_str(), |(_, name)| name);
            return Some(Version::Existing(name.to_owned()));
        }
        let changed = Changed {
            image: self.image.clone(),
            arguments: self.set_arg.clone(),
        };
        (changed != Changed::default()).then_some(Version::Changed(changed))
    }

    fn plan(&self, second_workload: bool) -> Plan {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Plan {
            steps: self.steps.clone(),
            step_millis: millis(self.step_time),
            ready_millis: millis(self.ready_timeout),
            outage_millis: 30_000,
            proof_millis: 180_000,
            rollout_millis: 600_000,
            limits: Limits {
                errors: self.max_errors / 100.0,
                first_token: self.max_ttft,
                ..Limits::default()
            },
            second_workload,
        }
    }

    /// What is wrong with the flags by themselves.
    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !self.steps.is_sorted_by(|a, b| a < b) {
            problems.push(
                Problem::new("--steps must rise: each step gives the canary more than the last")
                    .help("`--steps=5,25,50`"),
            );
        }
        if let Some(second) = &self.to
            && let Some((kind, _)) = second.split_once('/')
            && !kind.to_ascii_lowercase().starts_with("deploy")
        {
            problems.push(Problem::new(format!(
                "--to {second}: a Deployment is wanted"
            )));
        }
        problems
    }
}

/// Runs it.
pub(super) fn run(args: &Args, session: &mut Session<'_>) -> Outcome {
    let problems = args.problems();
    if !problems.is_empty() {
        return session.failed(&problems, args.common.document());
    }
    drive::on_a_runtime(start(args, session))
        .unwrap_or_else(|problem| failed(problem, Exit::Failed, &args.common, session))
}

async fn start(args: &Args, session: &mut Session<'_>) -> Outcome {
    match ready(args, session).await {
        Ok(Ready::Said(text)) => Outcome {
            out: text,
            err: String::new(),
            exit: Exit::Done,
        },
        Ok(Ready::Run {
            cluster,
            journal,
            is_new,
            wish,
        }) => {
            let traffic = Traffic {
                flags: &args.request,
                data: None,
            };
            let run = drive::Run {
                common: &args.common,
                cluster,
                journal: *journal,
                is_new,
                wish,
                hold: args.hold,
                traffic,
            };
            drive::drive(run, session).await
        }
        Err((problem, exit)) => failed(problem, exit, &args.common, session),
    }
}

enum Ready {
    Said(String),
    Run {
        cluster: Cluster,
        journal: Box<Journal>,
        is_new: bool,
        wish: Option<Wish>,
    },
}

type Stopped = (Problem, Exit);

fn stop(problem: impl Into<Problem>) -> Stopped {
    (problem.into(), Exit::Failed)
}

async fn ready(args: &Args, session: &mut Session<'_>) -> Result<Ready, Stopped> {
    let workload = args.common.deployment(session.program).map_err(stop)?;
    let cluster = args.common.connection.connect().await.map_err(stop)?;
    if let Some((kept, journal)) = stored(&cluster, &workload).await.map_err(stop)? {
        if kept.is_held() {
            return Err(stop(held(&kept, &workload, args, session)));
        }
        // A Job whose pod was lost after its last word begins again; there is nothing left to do.
        let promoted = State::Ended { end: End::Promoted };
        if let Some(journal) = &journal
            && journal.state == promoted
            && args.version().as_ref() == Some(&journal.version)
            && is_new(&cluster, journal).await
        {
            return Ok(Ready::Said(match args.common.output {
                Output::Text => print::canary::report(journal, now(), session.out),
                Output::Json => print::canary_json::render(Some(journal), &[]),
            }));
        }
        if let Some(journal) = journal.filter(|it| !it.is_over()) {
            if let Some(version) = args.version()
                && version != journal.version
            {
                return Err(stop(left(&journal, args, session)));
            }
            let text = print::canary::plan(&journal, cluster.context());
            confirm_run(
                args,
                session,
                &format!(
                    "{text}goes on: {}\n",
                    print::canary::standing(&journal, now())
                ),
            )
            .await?;
            return Ok(Ready::Run {
                cluster,
                journal: Box::new(journal),
                is_new: false,
                wish: Some(Wish::Resume),
            });
        }
    }
    let Some(version) = args.version() else {
        return Err(stop(
            Problem::new("there is no canary to go on with, and no second version is given")
                .help("`--image=IMAGE`, `--set-arg=--NAME=VALUE`, or `--to deployment/NAME`"),
        ));
    };
    let catalogue = Catalogue::builtin();
    let run = crate::run_name::new();
    let shift = begin::shift(
        &cluster,
        &catalogue,
        &workload,
        version.clone(),
        args.route.clone(),
        args.replicas,
        &run,
    )
    .await
    .map_err(stop)?;
    let carrier = carrier(&cluster, &shift).await.map_err(stop)?;
    if args.print_patch {
        let text = begin::patches(&shift, carrier.as_ref(), &args.steps).map_err(stop)?;
        return Ok(Ready::Said(text));
    }
    shift.may_write().map_err(stop)?;
    let original = match &carrier {
        Some(carrier) => shift.original_of(carrier).map_err(stop)?,
        None => Original::default(),
    };
    let is_second = matches!(version, Version::Existing(_));
    let plan = args.plan(is_second);
    let journal = Journal::new(now(), version, shift, original, plan, args.synthetic);
    let mut text = print::canary::plan(&journal, cluster.context());
    if let Some(dry_run) = args.dry_run {
        if dry_run == DryRun::Server {
            for object in &journal.shift.objects {
                cluster.create(object, true).await.map_err(stop)?;
            }
            text.push_str("the API server takes every object\n");
        }
        text.push_str("dry run: nothing was done\n");
        let text = match args.common.output {
            Output::Text => text,
            Output::Json => print::canary_json::render(Some(&journal), &[]),
        };
        return Ok(Ready::Said(text));
    }
    confirm_run(args, session, &text).await?;
    Ok(Ready::Run {
        cluster,
        journal: Box::new(journal),
        is_new: true,
        wish: None,
    })
}

/// Whether the stable workload runs the version of this run already.
async fn is_new(cluster: &Cluster, journal: &Journal) -> bool {
    let look = crate::canary::observe::look(cluster, &Catalogue::builtin(), journal).await;
    look.stable.is_some_and(|stable| stable.is_new)
}

async fn confirm_run(args: &Args, session: &mut Session<'_>, text: &str) -> Result<(), Stopped> {
    if args.yes {
        if args.common.output == Output::Text {
            crate::canary::live::Live::new(crate::canary::live::Sink::Stdout, session.out)
                .print(text);
        }
        return Ok(());
    }
    confirm::ask(session, text, "the canary is not begun: nothing was done").map_err(stop)
}

/// The object that will hold the share, where it is there already.
async fn carrier(cluster: &Cluster, shift: &Shift) -> Result<Option<Value>, Problem> {
    if shift
        .objects
        .iter()
        .any(|it| Named::of(it) == shift.carrier)
    {
        return Ok(None);
    }
    let namespace = Some(shift.namespace.as_str());
    match crate::canary::observe::get(cluster, &shift.carrier, namespace).await {
        Ok(carrier) => Ok(Some(carrier)),
        Err(RequestError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn held(
    kept: &infer_cluster::StoredJournal,
    workload: &str,
    args: &Args,
    session: &Session<'_>,
) -> Problem {
    let holder = kept.holder.as_deref().unwrap_or("somebody");
    Problem::new(format!(
        "a canary of deployment/{workload} is being driven by {holder}"
    ))
    .help(format!(
        "`{}` shows where it stands; `{}` takes it back",
        args.common.words(session.program, "status"),
        args.common.words(session.program, "abort")
    ))
}

fn left(journal: &Journal, args: &Args, session: &Session<'_>) -> Problem {
    Problem::new(format!(
        "another canary of deployment/{} was left at weight {}: {}",
        journal.shift.stable.workload,
        journal.weight(),
        print::canary::standing(journal, now())
    ))
    .help(format!(
        "`{}` goes on with it; `{}` takes it back",
        args.common.words(session.program, "start"),
        args.common.words(session.program, "abort")
    ))
}
