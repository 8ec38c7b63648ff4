//! Everything before the first request: flags, route, rights, the victim's process, the plan.

use super::{Args, next};
use crate::command::Session;
use crate::drill::gather::{Ground, gather};
use crate::drill::lanes::{self, Wanted};
use crate::drill::traffic::Template;
use crate::drill::{inject, refused};
use crate::problem::Problem;
use crate::subject::Subject;
use infer_cluster::{Access, Cluster, LeaseError, What};
use infer_drill::fault::Fault;
use infer_drill::plan::Plan;
use infer_drill::refusal::{Refusal, judge};
use infer_traffic::{Clock, Header};

/// What can be known from the flags and their files alone.
#[derive(Debug)]
pub(super) struct Prepared {
    ingress: String,
    headers: Vec<Header>,
    data: Option<Vec<u8>>,
}

/// A drill that is ready to be run.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) cluster: Cluster,
    pub(super) ground: Ground,
    pub(super) plan: Plan,
    pub(super) templates: Vec<Template>,
}

impl Ready {
    /// Name of the Lease that keeps two drills of a workload apart.
    pub(super) fn lease_name(&self) -> String {
        format!("infer-drill-{}", self.ground.workload.1)
    }
}

/// Reads the flags and what they name.
///
/// # Errors
///
/// Everything that is wrong with them.
pub(super) fn prepare(args: &Args, session: &mut Session<'_>) -> Result<Prepared, Vec<Problem>> {
    let mut problems = Vec::new();
    if let Err(error) = args.load().check() {
        problems.push(Problem::new(error.to_string()));
    }
    if args.request.method.is_some() {
        problems.push(
            Problem::new("a drill has a lane of GETs and one of POSTs: --method has no place")
                .help("`--get-path PATH`, `--path PATH` and `--data FILE` say what they send"),
        );
    }
    if args.request.data.as_deref() == Some("-") && !args.yes && !args.dry_run {
        problems.push(refused(&Refusal::NobodyToAsk));
    }
    let subject =
        Subject::parse(&args.target, session.program, "drill").and_then(|subject| match subject {
            Subject::Ingress(name) => Ok(name),
            Subject::Url(url) => Err(Problem::new(format!(
                "{url} is a URL: a drill needs the pods behind it"
            ))
            .help(format!("`{} drill ingress/NAME`", session.program))),
        });
    let headers = args.request.all_headers();
    let data = args.request.body(session.stdin);
    match (subject, headers, data) {
        (Ok(ingress), Ok(headers), Ok(data)) if problems.is_empty() => Ok(Prepared {
            ingress,
            headers,
            data,
        }),
        (subject, headers, data) => {
            let each = [subject.err(), headers.err(), data.err()];
            problems.extend(each.into_iter().flatten());
            Err(problems)
        }
    }
}

/// Reads the cluster and makes the plan.
///
/// # Errors
///
/// What keeps it from being run, and every refusal.
pub(super) async fn ready(
    args: &Args,
    prepared: &Prepared,
    program: &str,
    clock: Clock,
) -> Result<Ready, Problem> {
    let cluster = args.connection.connect().await?;
    let named = args.pod.as_deref().map(|pod| {
        let plain = pod.strip_prefix("pod/").or(pod.strip_prefix("pods/"));
        plain.unwrap_or(pod)
    });
    let mut ground = gather(&cluster, &prepared.ingress, named, &args.request).await?;
    judge(args.fault, &ground.state).map_err(|refusal| refused(&refusal))?;
    rights(&cluster, args.fault, &ground.route.namespace).await?;
    if args.fault == Fault::Crash {
        let instead = next::again(args, program, Fault::ForceDelete, args.yes);
        let namespace = &ground.route.namespace;
        let markers = &ground.runtime.markers;
        let found = inject::find(&cluster, namespace, &ground.victim, markers, &instead).await;
        ground.victim.pid = Some(found.map_err(|refusal| refused(&refusal))?.pid);
    }
    let load = args.load();
    let wanted = Wanted {
        flags: &args.request,
        headers: &prepared.headers,
        data: prepared.data.as_deref(),
        get_path: args.get_path.as_deref(),
        post_tokens: args.post_tokens,
        load: &load,
    };
    let lanes = lanes::lanes(&ground, &wanted, clock).await?;
    let mut gaps = ground.gaps.clone();
    gaps.extend(lanes.gaps);
    let target = &ground.route.target;
    let plan = Plan {
        run: crate::run_name::new(),
        context: cluster.context().map(str::to_owned),
        namespace: ground.route.namespace.clone(),
        route: format!("ingress/{}", prepared.ingress),
        address: ground
            .route
            .tested
            .address
            .clone()
            .unwrap_or_else(|| target.host_header()),
        host: target.host_header(),
        workload: ground.state.workload.clone(),
        runtime: ground.runtime.name.clone(),
        victim: ground.victim.clone(),
        ready: ground.state.ready,
        pods: ground.state.pods,
        fault: args.fault,
        load,
        budgets: args.budgets(),
        gaps,
    };
    Ok(Ready {
        cluster,
        ground,
        plan,
        templates: lanes.templates,
    })
}

/// Whether the fault and the Lease are allowed. Where nobody answers that question, the requests
/// themselves will.
async fn rights(cluster: &Cluster, fault: Fault, namespace: &str) -> Result<(), Problem> {
    let space = Some(namespace);
    let mut rights: Vec<(Access, &'static str)> = Vec::new();
    for right in fault.needs() {
        let access = Access::new(right.verb, What::Pod, space);
        let (access, purpose) = match right.resource.split_once('/') {
            Some((_, subresource)) => (
                access.subresource(subresource),
                "to kill the server's process",
            ),
            None => (access, "to take the pod away"),
        };
        rights.push((access, purpose));
    }
    for verb in ["get", "create", "update"] {
        let purpose = "to keep a second drill out";
        rights.push((Access::new(verb, What::Lease, space), purpose));
    }
    let asked: Vec<Access> = rights.iter().map(|(access, _)| access.clone()).collect();
    let Ok(answers) = cluster.allowed(&asked).await else {
        return Ok(());
    };
    let denied: Vec<(Access, &'static str)> = answers
        .into_iter()
        .zip(rights)
        .filter(|((_, allowed), _)| !allowed)
        .map(|((access, _), (_, purpose))| (access, purpose))
        .collect();
    let Some((first, purpose)) = denied.first() else {
        return Ok(());
    };
    // One rule for all that is missing of a resource: else each verb would be a refusal of its own.
    let verbs: Vec<&str> = denied
        .iter()
        .filter(|(access, _)| access.path() == first.path())
        .map(|(access, _)| access.verb.as_str())
        .collect();
    let rule = first.rule().replace(
        &format!("verbs: [{:?}]", first.verb),
        &format!("verbs: {verbs:?}"),
    );
    Err(refused(&Refusal::Denied {
        right: format!("{} {}", verbs.join(", "), first.path()),
        namespace: namespace.to_owned(),
        purpose,
        rule,
        can_i: first.can_i(),
    }))
}

/// Why the Lease is not ours.
pub(super) fn not_ours(error: LeaseError, ready: &Ready) -> Problem {
    match error {
        LeaseError::Held {
            name,
            by,
            since,
            until,
            ..
        } => refused(&Refusal::Held {
            workload: ready.plan.workload.clone(),
            lease: name,
            holder: by,
            since,
            until,
        }),
        LeaseError::Request(error) => error.into(),
        LeaseError::Lost { .. } => Problem::new(error.to_string()),
    }
}
