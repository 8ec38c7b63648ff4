use crate::kind::Kind;
use crate::object::ObjectRef;
use crate::route::{DestinationRule, READ_FOR_DESTINATION_RULE};
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::world::World;

pub(super) static RULE: Rule = Rule {
    id: "dr-host-unknown",
    summary: "the DestinationRule is for a host that gets no requests",
    page: include_str!("dr_host_unknown.md"),
    level: Level::Warning,
    phase: Phase::Findings,
    reads: READ_FOR_DESTINATION_RULE,
    needs: &[Kind::Service],
    checks: &[Check::DestinationRule(check)],
};

fn check(world: &World<'_>, rule: &DestinationRule<'_>, findings: &mut Findings) {
    let host = rule.host;
    if rule.is_unknown(world) {
        findings
            .add(
                "/spec/host",
                format!("no Service `{host}` is in sight: this rule applies to nothing"),
            )
            .help(
                "name the Service that the requests go to, or `name.namespace.svc.cluster.local`",
            );
        return;
    }
    let Some(route) = rule.passed_by.first().filter(|_| rule.is_passed()) else {
        return;
    };
    let name = ObjectRef::of(route.object);
    let mut hosts: Vec<String> = Vec::new();
    for backend in route.backends() {
        let host = format!("`{}`", backend.host);
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    let hosts = hosts.join(", ");
    findings
        .add(
            "/spec/host",
            format!("nothing goes to `{host}`: {name} sends the requests elsewhere"),
        )
        .mark(
            Some(name),
            route.routes.first().map_or("/spec/http".to_owned(), |it| format!("{}/route", it.path)),
            format!("they go to {hosts}"),
        )
        .note("a DestinationRule counts for the host that a route ends at, not for the host that clients ask for")
        .help(format!("write a rule for {hosts}, or send the requests to `{host}`"));
}
