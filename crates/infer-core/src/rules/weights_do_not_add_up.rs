use crate::route::{Backend, HttpRoute, READ_FOR_VIRTUAL_SERVICE, VirtualService};
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::world::World;

pub(super) static RULE: Rule = Rule {
    id: "weights-do-not-add-up",
    summary: "the weights of a split do not say what they seem to say",
    page: include_str!("weights_do_not_add_up.md"),
    level: Level::Warning,
    phase: Phase::Findings,
    reads: READ_FOR_VIRTUAL_SERVICE,
    needs: &[],
    checks: &[
        Check::HttpRoute(http_route),
        Check::VirtualService(virtual_service),
    ],
};

/// Weights whose sum is at most this are read as shares (1:1, 9:1), greater ones as percentages.
const SHARES: u64 = 10;

/// Sums of which each weight is a percentage, or a finer part.
const WHOLES: [u64; 3] = [100, 1_000, 10_000];

fn virtual_service(_: &World<'_>, route: &VirtualService<'_>, findings: &mut Findings) {
    for part in &route.routes {
        let backends = &part.backends;
        if backends.len() < 2 {
            continue;
        }
        let total = total(backends, 0);
        if total == 0 {
            findings
                .add(
                    format!("{}/route", part.path),
                    "no destination has a weight: the mesh's webhook refuses the route",
                )
                .help("give every destination a `weight`; together they make 100");
        } else if let Some(bare) = backends.iter().find(|it| it.weight.is_none()) {
            findings
                .add(
                    bare.path.clone(),
                    format!(
                        "`{}` has no weight beside weighted ones: it gets no request",
                        target(bare)
                    ),
                )
                .note("a weight that is left out is 0")
                .help("give every destination a `weight`; together they make 100");
        } else if total > SHARES && !WHOLES.contains(&total) {
            findings
                .add(
                    format!("{}/route", part.path),
                    format!(
                        "the weights add up to {total}, not to 100: {}",
                        shares(backends, total)
                    ),
                )
                .note("each destination gets its weight divided by their sum")
                .help("make the weights add up to 100");
        }
    }
}

fn http_route(_: &World<'_>, route: &HttpRoute<'_>, findings: &mut Findings) {
    for rule in &route.rules {
        let backends = &rule.backends;
        if backends.is_empty() {
            continue;
        }
        let greatest = backends.iter().filter_map(|it| it.weight).max();
        let bare = backends.iter().find(|it| it.weight.is_none());
        match (greatest, bare) {
            (Some(0), None) => {
                findings
                    .add(
                        format!("{}/backendRefs", rule.path),
                        "every weight is 0: every request gets 500",
                    )
                    .help("give one of the backends a `weight` above 0");
            }
            (Some(greatest), Some(bare)) if greatest >= SHARES => {
                findings
                    .add(
                        bare.path.clone(),
                        format!(
                            "`{}` has no weight and counts as 1 beside {greatest}",
                            target(bare)
                        ),
                    )
                    .note("`weight` defaults to 1")
                    .help("give every backend a `weight`");
            }
            _ => {}
        }
    }
}

fn total(backends: &[Backend<'_>], default: u64) -> u64 {
    let each = backends.iter().map(|it| it.weight.unwrap_or(default));
    each.fold(0, u64::saturating_add)
}

/// What messages call a destination.
fn target(backend: &Backend<'_>) -> String {
    match backend.subset {
        Some(subset) => format!("{}/{subset}", backend.host),
        None => backend.host.to_owned(),
    }
}

/// "`a` gets 82 %, `b` 18 %", of the first two.
fn shares(backends: &[Backend<'_>], total: u64) -> String {
    let each = backends.iter().take(2).map(|it| {
        let percent = it.weight.unwrap_or(0) as f64 * 100.0 / total as f64;
        format!("`{}` {percent:.0} %", target(it))
    });
    each.collect::<Vec<_>>().join(", ")
}
