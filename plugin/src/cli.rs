//! The edge to the process: arguments in, streams and exit code out.

use crate::command::{
    Outcome, Session, canary, check, diff, doctor, drill, explain, inspect, scaffold, test, version,
};
use crate::exit::Exit;
use crate::flags::LookFlags;
use crate::problem::Problem;
use crate::terminal::{Colour, Look};
use anstream::AutoStream;
use anstream::stream::{AsLockedWrite, RawStream};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// Examples stand before everything else.
pub(crate) const TEMPLATE: &str =
    "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  # Say what is wrong with manifests
  kubectl infer check -f k8s/

  # Say what a cluster has: controllers, meshes, GPUs, our webhook
  kubectl infer doctor

  # Explain a finding
  kubectl infer explain no-delay-before-sigterm

  # Send a route a real request, and say who answered
  kubectl infer test ingress/inference-ingress -n inference

  # Kill the server of one replica under traffic, and say what clients lost
  kubectl infer drill ingress/inference-ingress -n inference --fault crash
";

/// Say what is wrong on the way from client to model, and why
#[derive(Debug, Parser)]
#[command(
    before_help = EXAMPLES,
    help_template = TEMPLATE,
    subcommand_help_heading = "Commands",
    // `version` says more.
    disable_version_flag = true,
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    look: LookFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(help_template = TEMPLATE)]
    Canary(Box<canary::Args>),
    #[command(help_template = TEMPLATE)]
    Check(check::Args),
    #[command(help_template = TEMPLATE)]
    Diff(diff::Args),
    #[command(help_template = TEMPLATE)]
    Doctor(Box<doctor::Args>),
    #[command(help_template = TEMPLATE)]
    Drill(Box<drill::Args>),
    #[command(help_template = TEMPLATE)]
    Explain(explain::Args),
    #[command(help_template = TEMPLATE)]
    Inspect(Box<inspect::Args>),
    #[command(help_template = TEMPLATE)]
    Scaffold(Box<scaffold::Args>),
    #[command(help_template = TEMPLATE)]
    Test(Box<test::Args>),
    #[command(help_template = TEMPLATE)]
    Version(version::Args),
}

/// Runs the program.
pub fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let program = program(args.first());
    let mut command = Cli::command().bin_name(program);
    let parsed = command
        .try_get_matches_from_mut(&args)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let (outcome, look) = match parsed {
        Ok(cli) => (run(&cli, program, &mut command), cli.look),
        Err(error) => refused(error, &args),
    };
    let out = Look::of(&io::stdout(), look.color, look.ascii);
    let err = Look::of(&io::stderr(), look.color, look.ascii);
    // The result comes last: on a terminal its end is what a person sees.
    let written = write(io::stderr().lock(), err, &outcome.err)
        .and_then(|()| write(io::stdout().lock(), out, &outcome.out));
    match written {
        Ok(()) => outcome.exit.into(),
        Err(error) => {
            // Where stderr is closed too, the exit code still tells.
            let _ = writeln!(io::stderr(), "error: cannot write the result: {error}");
            Exit::Failed.into()
        }
    }
}

fn run(cli: &Cli, program: &'static str, command: &mut clap::Command) -> Outcome {
    let mut session = Session {
        program,
        stdin: &mut io::stdin().lock(),
        out: Look::of(&io::stdout(), cli.look.color, cli.look.ascii),
        err: Look::of(&io::stderr(), cli.look.color, cli.look.ascii),
    };
    match &cli.command {
        Some(Command::Canary(args)) => canary::run(args, &mut session),
        Some(Command::Check(args)) => check::run(args, &mut session),
        Some(Command::Diff(args)) => diff::run(args, &mut session),
        Some(Command::Doctor(args)) => doctor::run(args, &session),
        Some(Command::Drill(args)) => drill::run(args, &mut session),
        Some(Command::Explain(args)) => explain::run(args, &session),
        Some(Command::Inspect(args)) => inspect::run(args, &mut session),
        Some(Command::Scaffold(args)) => scaffold::run(args, &session),
        Some(Command::Test(args)) => test::run(args, &mut session),
        Some(Command::Version(args)) => version::run(args),
        None => Outcome {
            out: styled(&command.render_help(), session.out),
            err: String::new(),
            exit: Exit::Done,
        },
    }
}

/// What a person types to run us: kubectl finds `kubectl-infer` and calls it by that name.
fn program(name: Option<&OsString>) -> &'static str {
    let file = name.map(Path::new).and_then(Path::file_name);
    match file {
        Some(file) if file.to_string_lossy().starts_with("kubectl-") => "kubectl infer",
        _ => "kubectl-infer",
    }
}

/// What clap has to say instead of arguments: help, or what is wrong with them.
fn refused(mut error: clap::Error, args: &[OsString]) -> (Outcome, LookFlags) {
    let words: Vec<_> = args
        .iter()
        .skip(1)
        .map(|word| word.to_string_lossy())
        .collect();
    // The flags that say how to answer count even where others are wrong.
    let look = LookFlags {
        color: value_of(&words, &["--color"])
            .and_then(|when| Colour::from_str(when, false).ok())
            .unwrap_or_default(),
        ascii: words.iter().any(|word| word == "--ascii"),
    };
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        let outcome = Outcome {
            out: styled(
                &error.render(),
                Look::of(&io::stdout(), look.color, look.ascii),
            ),
            err: String::new(),
            exit: Exit::Done,
        };
        return (outcome, look);
    }
    let takes_files = words.iter().any(|word| word == "check" || word == "diff");
    if error.kind() == ErrorKind::UnknownArgument
        && takes_files
        && let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg)
        && !word.starts_with('-')
    {
        let tip = format!("manifests are passed with '-f {word}'");
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![tip.into()]),
        );
    }
    let outcome = Outcome {
        out: document_of_refusal(&error, &words).unwrap_or_default(),
        err: styled(
            &error.render(),
            Look::of(&io::stderr(), look.color, look.ascii),
        ),
        exit: Exit::Failed,
    };
    (outcome, look)
}

/// The one document that a program waits for, if it asked for one.
fn document_of_refusal(error: &clap::Error, words: &[Cow<'_, str>]) -> Option<String> {
    if value_of(words, &["-o", "--output"]) != Some("json") {
        return None;
    }
    let message = error.render().to_string();
    let paragraph = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (what, rest) = message.split_once("\n\n").unwrap_or((&message, ""));
    let what = paragraph(what.strip_prefix("error: ").unwrap_or(what));
    let mut problem = Problem::new(what);
    // The way out comes next where there is one; usage stands on stderr.
    let way_out = rest.split("\n\n").next().map(paragraph);
    problem.help = way_out.filter(|text| !text.is_empty());
    let problems = [problem];
    words.iter().find_map(|word| match word.as_ref() {
        "check" => Some(check::empty(&problems)),
        "diff" => Some(diff::empty(&problems)),
        "doctor" => Some(doctor::empty(&problems)),
        "drill" => Some(drill::empty(&problems)),
        "inspect" => Some(inspect::empty(&problems)),
        "explain" => Some(explain::empty(&problems)),
        "test" => Some(test::empty(&problems)),
        "version" => Some(version::empty(&problems)),
        _ => None,
    })
}

/// The value of a flag in words that clap refused: `-o json`, `-ojson`, `-o=json`.
fn value_of<'a>(words: &'a [Cow<'_, str>], names: &[&str]) -> Option<&'a str> {
    words.iter().enumerate().find_map(|(index, word)| {
        names.iter().find_map(|name| {
            let rest = word.strip_prefix(name)?;
            match rest.strip_prefix('=') {
                Some(value) => Some(value),
                None if rest.is_empty() => words.get(index + 1).map(AsRef::as_ref),
                None if name.starts_with("--") => None,
                None => Some(rest),
            }
        })
    })
}

/// What clap renders, in the look of a stream.
fn styled(text: &clap::builder::StyledStr, look: Look) -> String {
    if look.colour {
        text.ansi().to_string()
    } else {
        text.to_string()
    }
}

/// Writes all of it. A reader that has gone (`| head`) has what it wanted.
fn write<S>(mut stream: S, look: Look, text: &str) -> io::Result<()>
where
    S: RawStream + AsLockedWrite,
{
    let written = if look.colour {
        // Old consoles of Windows take no escape codes.
        AutoStream::always(stream).write_all(text.as_bytes())
    } else {
        stream
            .write_all(text.as_bytes())
            .and_then(|()| stream.flush())
    };
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn kubectl_s_name_for_us_is_what_a_person_types() {
        let program = |name: &str| program(Some(&OsString::from(name)));
        assert_eq!(program("/usr/local/bin/kubectl-infer"), "kubectl infer");
        assert_eq!(program("kubectl-infer.exe"), "kubectl infer");
        assert_eq!(program("infer"), "kubectl-infer");
        assert_eq!(super::program(None), "kubectl-infer");
    }

    #[test]
    fn a_flag_s_value_is_found_among_words_that_are_wrong() {
        let value = |line: &str| {
            let words: Vec<Cow<'_, str>> = line.split(' ').map(Cow::Borrowed).collect();
            value_of(&words, &["-o", "--output"]).map(str::to_owned)
        };
        for line in [
            "check -o json",
            "-x -ojson",
            "-o=json",
            "--output json",
            "--output=json",
        ] {
            assert_eq!(value(line).as_deref(), Some("json"), "{line}");
        }
        assert_eq!(value("check -o"), None);
        assert_eq!(value("--outputs json"), None);
    }
}
