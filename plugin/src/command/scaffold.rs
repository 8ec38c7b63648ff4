//! `scaffold`: manifests for a model server and the route to it, written from nothing.

mod files;

use super::{Outcome, Session, next};
use crate::duration;
use crate::exit::Exit;
use crate::policy_file;
use crate::print::text::{DOUBTFUL, printable, shell, wrap};
use crate::problem::Problem;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use infer_core::Engine;
use infer_core::catalogue::Catalogue;
use infer_scaffold::{Intent, ModelSource, Refusal, Scaffold, Values, Via, scaffold};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  # A model of Hugging Face on two GPUs behind NGINX, to stdout
  kubectl infer scaffold llama --runtime vllm --via ingress-nginx \\
    --model-source hf:org/model --gpus 2

  # A model file on a volume behind Istio, as a kustomize base
  kubectl infer scaffold llama -n inference --runtime llama.cpp --via istio \\
    --model-source pvc:models/model.gguf --replicas 3 --output-dir llama/
";

const EXIT_CODES: &str = "\
Exit codes:
  0  written
  1  bad usage, or files that are there already
";

/// Write manifests for a model server and the route to it
///
/// A Deployment whose probes, drain and limits need nothing from the webhook, a Service, and the
/// objects of the entry, with a comment at each unusual value. Asks no cluster, downloads nothing.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES, after_long_help = EXIT_CODES)]
pub(crate) struct Args {
    /// Name of every object
    #[arg(value_name = "NAME")]
    name: String,
    /// Inference server, such as `llama.cpp` or `vllm`
    #[arg(long, value_name = "RUNTIME")]
    runtime: String,
    /// What lets clients in
    #[arg(long, value_name = "ENTRY", value_parser = via())]
    via: Via,
    /// Where the model comes from: `hf:OWNER/REPO[:FILE]`, `pvc:CLAIM/PATH` or `path:/PATH`
    ///
    /// hf: the server downloads it from Hugging Face when it starts. pvc: on a PersistentVolumeClaim
    /// that is there. path: in the image, or mounted by a patch of yours.
    #[arg(long, value_name = "SOURCE")]
    model_source: Option<String>,
    /// Namespace of every object; by default none is written
    #[arg(short, long)]
    namespace: Option<String>,
    /// Host name that clients use [default: NAME.local]
    #[arg(long)]
    host: Option<String>,
    /// Number of pods
    #[arg(long, value_name = "N", default_value_t = 1)]
    replicas: u32,
    /// Number of GPUs of each pod
    #[arg(long, value_name = "N", default_value_t = 0)]
    gpus: u32,
    /// Another image than the runtime's own
    #[arg(long)]
    image: Option<String>,
    /// PersistentVolumeClaim that keeps what is downloaded
    #[arg(long, value_name = "CLAIM")]
    cache_claim: Option<String>,
    /// How long clients wait for an answer at most
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration::parse, help_heading = "Times")]
    longest_generation: Duration,
    /// How long a pod goes on serving after it was told to go [default: the longest generation]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, help_heading = "Times")]
    drain_window: Option<Duration>,
    /// How long loading may take [default: the runtime's]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, help_heading = "Times")]
    startup_budget: Option<Duration>,
    /// IngressClass, where the controller's is named otherwise
    #[arg(
        long,
        value_name = "CLASS",
        conflicts_with = "gateway_class",
        help_heading = "Entry"
    )]
    ingress_class: Option<String>,
    /// GatewayClass, where it is not Envoy Gateway's `eg`
    #[arg(long, value_name = "CLASS", help_heading = "Entry")]
    gateway_class: Option<String>,
    /// Label of Istio's gateway pods [default: istio=ingressgateway]
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, help_heading = "Entry")]
    gateway_selector: Option<(String, String)>,
    /// Follow this InferencePolicy instead of the built-in baseline
    #[arg(long, value_name = "FILE")]
    policy: Option<String>,
    /// Write a kustomize base into this directory, and Helm values of the controller into helm/ below it
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    output_dir: Option<String>,
    /// Overwrite files that are there
    #[arg(long, requires = "output_dir", help_heading = "Output")]
    force: bool,
}

fn via() -> impl TypedValueParser<Value = Via> {
    PossibleValuesParser::new(Via::ALL.map(Via::as_str)).try_map(|word| {
        let found = Via::ALL.into_iter().find(|via| via.as_str() == word);
        found.ok_or_else(|| format!("`{word}` is no entry"))
    })
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=');
    pair.map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| "a label is written as KEY=VALUE".to_owned())
}

/// Runs it.
pub(crate) fn run(args: &Args, session: &Session<'_>) -> Outcome {
    let policy = match policy_file::read(args.policy.as_deref()) {
        Ok(policy) => policy,
        Err(problems) => return session.failed(&problems, None),
    };
    let engine = Engine::new(Catalogue::builtin(), policy);
    let written = intent(args)
        .map_err(|problem| vec![problem])
        .and_then(|intent| {
            let written = scaffold(&engine, &intent).map_err(problems)?;
            Ok((intent, written))
        });
    let (intent, written) = match written {
        Ok(written) => written,
        Err(problems) => return session.failed(&problems, None),
    };
    let mut notes = written.notes.clone();
    notes.extend(findings(&engine, &written));
    let out = match &args.output_dir {
        None => {
            let files: Vec<String> = written.values.iter().map(Values::file_name).collect();
            if !files.is_empty() {
                notes.push(format!(
                    "what serves the entry needs values too: `--output-dir DIR` writes {}",
                    files.join(", ")
                ));
            }
            written.yaml()
        }
        Some(directory) => match files::write(directory, &written, args.force) {
            Ok(report) => {
                notes.extend(report.notes);
                let mut out = report.written;
                out.push('\n');
                out.push_str(&next(&commands(directory, &intent, session)));
                out
            }
            Err(problems) => return session.failed(&problems, None),
        },
    };
    Outcome {
        out,
        err: noted(&notes, session),
        exit: Exit::Done,
    }
}

/// What the flags ask for, without clap.
fn intent(args: &Args) -> Result<Intent, Problem> {
    let source = args.model_source.as_deref().ok_or_else(|| {
        Problem::new("no model is named").help(format!(
            "`--model-source SOURCE`, where SOURCE is {}",
            ModelSource::FORMS
        ))
    })?;
    let class = match (&args.ingress_class, &args.gateway_class, args.via) {
        (Some(class), _, Via::Gateway | Via::Istio | Via::None) => {
            return Err(Problem::new(format!(
                "`--ingress-class {class}` is given, and `--via {}` writes no Ingress",
                args.via.as_str()
            )));
        }
        (None, Some(class), via) if via != Via::Gateway => {
            return Err(Problem::new(format!(
                "`--gateway-class {class}` is given, and `--via {}` writes no Gateway of Gateway API",
                via.as_str()
            ))
            .help("`--via gateway` does"));
        }
        (ingress, gateway, _) => ingress.clone().or(gateway.clone()),
    };
    Ok(Intent {
        name: args.name.clone(),
        namespace: args.namespace.clone().filter(|name| !name.is_empty()),
        runtime: args.runtime.clone(),
        image: args.image.clone(),
        model: ModelSource::parse(source).map_err(problem)?,
        cache_claim: args.cache_claim.clone(),
        replicas: args.replicas,
        gpus: args.gpus,
        via: args.via,
        host: args.host.clone(),
        class,
        gateway_selector: args.gateway_selector.clone(),
        longest_generation: seconds(args.longest_generation),
        drain_window: args.drain_window.map(seconds),
        startup_budget: args.startup_budget.map(seconds),
    })
}

/// Whole seconds; a part of one counts as one.
fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
}

fn problem(refusal: Refusal) -> Problem {
    Problem {
        help: refusal.help,
        ..Problem::new(refusal.message)
    }
}

fn problems(refusals: Vec<Refusal>) -> Vec<Problem> {
    refusals.into_iter().map(problem).collect()
}

/// What `check` will say of it, which only an intent's own image, words or times can bring about.
fn findings(engine: &Engine, written: &Scaffold) -> Vec<String> {
    let each = written.findings(engine).into_iter();
    each.map(|found| {
        let finding = found.finding;
        format!(
            "`{}` is found in this: {}",
            finding.rule.id, finding.message
        )
    })
    .collect()
}

fn noted(notes: &[String], session: &Session<'_>) -> String {
    let mut err = String::new();
    for note in notes {
        let width = session.err.width.saturating_sub(6);
        let text = wrap(&printable(note), width).join("\n      ");
        err.push_str(&format!(
            "{}: {text}\n",
            session.err.paint(DOUBTFUL, "note")
        ));
    }
    err
}

/// What to run next.
fn commands(directory: &str, intent: &Intent, session: &Session<'_>) -> Vec<(String, String)> {
    let (program, directory) = (session.program, shell(directory));
    let namespace = intent
        .namespace
        .as_ref()
        .map(|namespace| format!(" -n {namespace}"))
        .unwrap_or_default();
    let host = intent.host();
    let mut commands = vec![
        (
            format!("{program} check -f {directory}"),
            "what is wrong with it, after your changes too".to_owned(),
        ),
        (format!("kubectl apply -k {directory}"), String::new()),
    ];
    match intent.via {
        Via::IngressNginx | Via::F5Nginx | Via::Contour | Via::Traefik => commands.push((
            format!("{program} test ingress/{}{namespace}", intent.name),
            "one real request, and who answered".to_owned(),
        )),
        Via::Gateway | Via::Istio => commands.push((
            format!("{program} test http://{host} --resolve {host}:80:ADDRESS"),
            "one real request; ADDRESS is the gateway's".to_owned(),
        )),
        Via::None => {}
    }
    commands
}
