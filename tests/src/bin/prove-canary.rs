//! Canaries of several versions behind real routers; `cargo xtask prove canary` runs it in a lab. The
//! table goes to stdout, what it does meanwhile to stderr. Exit code 1 where one ended otherwise than
//! it should, or a client of the stable version lost anything.
#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program for a person"
)]

use std::process::ExitCode;

use infer_tests::canary::{Way, image_of_stable, left, lost, run};
use infer_tests::exercise::node_lab;
use infer_tests::flawed::{
    Ask, CRASH, CUT_20, ERRORS_5, GOOD, NEVER_READY, SLOW_3, STABLE, Version, Versions,
};
use infer_tests::routers::{self, Router};
use infer_tests::space::Space;

/// Clients that ask one request after the other meanwhile.
const CLIENTS: usize = 2;
const VERSIONS: [Version; 6] = [GOOD, ERRORS_5, SLOW_3, CUT_20, CRASH, NEVER_READY];

fn main() -> ExitCode {
    let Some(lab) = node_lab() else {
        return ExitCode::FAILURE;
    };
    let times: usize = std::env::args()
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or(3);
    println!(
        "| way | canary | runs | as it should | seconds | requests of the canary in the last step | lost by clients of the stable version |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut all = true;
    let ways = [
        Some((Way::Nginx, times)),
        routers::asked(Router::Istio).map(|asked| (Way::Istio(asked), 1)),
        routers::asked(Router::Contour).map(|asked| (Way::Contour(asked), 1)),
    ];
    for (index, (way, times)) in ways.into_iter().flatten().enumerate() {
        for version in VERSIONS {
            let mut right = 0;
            let mut seconds = Vec::new();
            let mut requests = Vec::new();
            let mut losses = 0;
            for number in 1..=times {
                let name = format!("prove-{index}-{}-{number}", version.name);
                let versions = Versions::start(Space::in_group(lab.clone(), &name, None), STABLE);
                way.open(&versions);
                let clients = versions.traffic(&Ask::completion(4), CLIENTS);
                let ran = run(&versions, &way, version, "25,50");
                let answers = clients.end();
                let lost = lost(&answers, &[STABLE]);
                let wanted = if version.name == GOOD.name {
                    ran.is_promoted() && left(&versions).is_empty()
                } else {
                    ran.is_taken_back() && image_of_stable(&versions) == STABLE.image()
                };
                eprintln!(
                    "{} {} {number}/{times}: exit code {}, {:.0} s, as it should: {wanted}, {} lost",
                    way.name(),
                    version.name,
                    ran.code,
                    ran.took.as_secs_f64(),
                    lost.len()
                );
                if !wanted {
                    eprintln!("{}\n{:#}", ran.told, ran.report);
                }
                right += usize::from(wanted);
                seconds.push(format!("{:.0}", ran.took.as_secs_f64()));
                requests.push(ran.canary_requests().to_string());
                losses += lost.len();
                versions.end();
            }
            all &= right == times && losses == 0;
            println!(
                "| {} | {} | {times} | {right} | {} | {} | {losses} |",
                way.name(),
                version.name,
                seconds.join(", "),
                requests.join(", "),
            );
        }
    }
    if all {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
