//! Streams: colour, characters, and a reader that has gone.

use crate::sandbox::{Place, Run, SERVER, with_error, without_probe};
use std::io::Write;
use std::process::Stdio;

#[test]
fn colour_is_for_terminals_and_for_those_who_ask() {
    let place = Place::new(&[("a.yaml", &with_error())]);
    let coloured = |args: &[&str], env: &[(&str, &str)]| {
        let args: Vec<&str> = [&["check", "-f", "a.yaml"], args].concat();
        let mut command = place.command(&args);
        command.envs(env.iter().copied());
        let run = Run::of(command.output().unwrap());
        assert_eq!(run.code, 2);
        run.out.contains('\u{1b}')
    };
    assert!(!coloured(&[], &[]));
    assert!(coloured(&["--color", "always"], &[]));
    assert!(coloured(&["--color", "always"], &[("NO_COLOR", "1")]));
    assert!(coloured(&[], &[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(
        &[],
        &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]
    ));
    assert!(!coloured(&["--color=never"], &[("CLICOLOR_FORCE", "1")]));
}

#[test]
fn ascii_is_kept_to_where_the_locale_or_a_flag_says_so() {
    let place = Place::new(&[("a.yaml", &with_error())]);
    let unicode = |args: &[&str], locale: &str| {
        let args: Vec<&str> = [&["check", "-f", "a.yaml"], args].concat();
        let mut command = place.command(&args);
        command.env("LANG", locale);
        !Run::of(command.output().unwrap()).out.is_ascii()
    };
    assert!(unicode(&[], "C.UTF-8"));
    assert!(!unicode(&["--ascii"], "C.UTF-8"));
    assert!(!unicode(&[], "C"));
}

#[test]
fn no_text_of_a_manifest_commands_the_terminal() {
    let evil = with_error().replace(
        "ghcr.io/GGML-org/llama.cpp:server",
        r#""ghcr.io/GG\e[2JML-org/llama.cpp:server""#,
    );
    let place = Place::new(&[("a.yaml", &evil), ("\u{1b}[31m.yaml", &evil)]);
    for command in ["check", "diff"] {
        let run = place.run(&[command, "-f", "."]);
        assert!(
            !run.out.contains('\u{1b}') && !run.err.contains('\u{1b}'),
            "{run:?}"
        );
    }
    assert_eq!(place.run(&["check", "-f", "."]).code, 2);
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let place = Place::new(&[]);
    for (args, manifest, code) in [
        (&["check", "-f", "-"][..], with_error(), 2),
        (&["check", "-f", "-", "-o", "json"], SERVER.to_owned(), 0),
        (&["diff", "-f", "-"], without_probe(), 0),
    ] {
        let mut child = place
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        // The result can be written only after this was read.
        let mut pipe = child.stdin.take().unwrap();
        pipe.write_all(manifest.as_bytes()).unwrap();
        drop(pipe);
        let run = Run::of(child.wait_with_output().unwrap());
        assert_eq!((run.code, run.err.as_str()), (code, ""), "{args:?}");
    }
}
