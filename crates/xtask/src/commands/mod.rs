//! The commands, one file each.

mod bench;
mod demo;
mod generate;
mod inside;
mod lab;
mod prove;
mod setup;
mod test;

use clap::{Parser, Subcommand};
use xtask::Result;

/// What a person types in this repository.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    about,
    max_term_width = 100
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Arguments),
    Test(test::Arguments),
    Bench(bench::Arguments),
    Prove(prove::Arguments),
    Lab(lab::Arguments),
    Setup(setup::Arguments),
    Generate(generate::Arguments),
    #[command(hide = true)]
    InsideKeep(inside::Keep),
    #[command(hide = true)]
    InsideLab(inside::Lab),
    #[command(hide = true)]
    InsideRouter(inside::Routers),
    #[command(hide = true)]
    InsideDemo,
    #[command(hide = true)]
    InsideDemoCrash,
}

/// Runs what was typed; gives the exit code.
pub(crate) fn run(arguments: Arguments) -> Result<i32> {
    match arguments.command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Prove(arguments) => prove::run(&arguments),
        Command::Lab(arguments) => lab::run(arguments),
        Command::Setup(arguments) => setup::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments),
        Command::InsideKeep(arguments) => inside::keep(&arguments),
        Command::InsideLab(arguments) => inside::lab(&arguments),
        Command::InsideRouter(arguments) => inside::routers(&arguments),
        Command::InsideDemo => demo::inside(),
        Command::InsideDemoCrash => demo::inside_crash(),
    }
}
