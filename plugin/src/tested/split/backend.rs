//! Which backend a reply is of: what the name that a person gave was found to be, and what each
//! reply says in that respect.

use super::{Reply, Wanted};
use crate::answered::{Behind, Field, Grade, Replica, is_named_after};

/// What a name was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// A Service behind the route.
    Service,
    /// A workload whose pods are behind the route.
    Workload,
    /// A pod.
    Pod,
    /// A subset of Istio's DestinationRule.
    Subset,
    /// The value of the response header that names who answered.
    Header,
    /// The beginning of such a value: `NAME-HASH`, as workloads call their pods.
    ItsName,
    /// A field of the model's answer.
    Fingerprint,
}

impl By {
    /// Its word in reports.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            By::Service => "service",
            By::Workload => "workload",
            By::Pod => "pod",
            By::Subset => "subset",
            By::Header => "header",
            By::ItsName => "name",
            By::Fingerprint => "fingerprint",
        }
    }
}

/// Whether a reply is of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hit {
    Yes,
    No,
    Unknown,
}

impl From<bool> for Hit {
    fn from(hit: bool) -> Hit {
        if hit { Hit::Yes } else { Hit::No }
    }
}

/// A name and what it was found to be.
#[derive(Debug)]
pub(super) struct Backend<'a> {
    pub(super) name: &'a str,
    /// None where nothing has the name; then nothing is known of any reply.
    pub(super) by: Option<By>,
    /// The fields of answers that tell backends of this run apart.
    fields: Vec<Field>,
    /// The Services that are backends themselves.
    services: Vec<&'a str>,
}

/// What each name is. A response header is always taken for an identity, also where no value of it
/// is the name: it is there to tell. A fingerprint is one only where at least one of the names was
/// met in it: else all versions may have the same, and nothing would be known.
pub(super) fn resolve<'a>(
    wanted: &'a [Wanted],
    behind: &Behind,
    replies: &[Reply<'_>],
) -> Vec<Backend<'a>> {
    let met = |field: &Field| {
        let is = |reply: &Reply<'_>, name: &str| reply.fingerprint.is(*field, name);
        let mut names = wanted.iter().map(|it| it.name.as_str());
        names.any(|name| replies.iter().any(|reply| is(reply, name)))
    };
    let fields: Vec<Field> = Field::ALL.into_iter().filter(met).collect();
    let names = wanted.iter().map(|it| it.name.as_str());
    let is_service = |name: &&str| behind.services.iter().any(|it| it == name);
    let services: Vec<&str> = names.clone().filter(is_service).collect();
    names
        .map(|name| Backend {
            name,
            by: by(name, behind, replies, &fields),
            fields: fields.clone(),
            services: services.clone(),
        })
        .collect()
}

fn by(name: &str, behind: &Behind, replies: &[Reply<'_>], fields: &[Field]) -> Option<By> {
    let any = |is: &dyn Fn(&Reply<'_>) -> bool| replies.iter().any(is);
    let headers = || replies.iter().filter_map(|it| it.replica.header.as_deref());
    let pods = || replies.iter().filter_map(|it| it.replica.pod.as_deref());
    // A header may name something else than pods: versions, say. Then objects tell nothing of it.
    let placed = |it: &Reply<'_>| {
        let Replica {
            pod,
            services,
            workload,
            ..
        } = it.replica;
        let pod = pod.as_ref();
        !services.is_empty() || workload.is_some() || pod.is_some_and(|it| behind.pods.contains(it))
    };
    let by_object = headers().next().is_none() || any(&placed);
    if by_object && behind.services.iter().any(|it| it == name) {
        Some(By::Service)
    } else if by_object
        && (behind.workloads.contains(name)
            || any(&|it| it.replica.workload.as_deref() == Some(name)))
    {
        Some(By::Workload)
    } else if by_object && behind.pods.contains(name) {
        Some(By::Pod)
    } else if any(&|it| it.replica.subset.as_deref() == Some(name)) {
        Some(By::Subset)
    } else if headers().any(|value| value == name) {
        Some(By::Header)
    } else if headers().chain(pods()).any(|it| is_named_after(it, name)) {
        Some(By::ItsName)
    } else if fields
        .iter()
        .any(|field| any(&|it| it.fingerprint.is(*field, name)))
    {
        Some(By::Fingerprint)
    } else if headers().next().is_some() {
        Some(By::Header)
    } else if fields
        .iter()
        .any(|field| any(&|it| it.fingerprint.get(*field).is_some()))
    {
        Some(By::Fingerprint)
    } else {
        None
    }
}

impl Backend<'_> {
    /// Whether a reply is of this backend.
    pub(super) fn hit(&self, reply: &Reply<'_>) -> Hit {
        let replica = reply.replica;
        let known = |value: Option<&str>, is: &dyn Fn(&str) -> bool| match value {
            Some(value) => Hit::from(is(value)),
            None => Hit::Unknown,
        };
        let is = |value: &str| value == self.name;
        let pod = replica.pod.as_deref();
        match self.by {
            None => Hit::Unknown,
            Some(By::Service) => {
                let own = |it: &&&str| replica.services.iter().any(|service| service == **it);
                match (
                    replica.services.is_empty(),
                    self.services.iter().filter(own).count(),
                ) {
                    (true, _) => Hit::Unknown,
                    // Behind several Services that are compared: nobody knows through which.
                    (false, 2..) => Hit::Unknown,
                    (false, _) => Hit::from(replica.services.iter().any(|it| is(it))),
                }
            }
            Some(By::Workload) => match (&replica.workload, pod) {
                (Some(workload), _) => Hit::from(is(workload)),
                (None, pod) => known(pod, &|pod| is_named_after(pod, self.name)),
            },
            Some(By::Pod) => known(pod, &is),
            Some(By::Subset) => known(replica.subset.as_deref(), &is),
            Some(By::Header) => known(replica.header.as_deref(), &is),
            Some(By::ItsName) => known(replica.header.as_deref().or(pod), &|value| {
                is(value) || is_named_after(value, self.name)
            }),
            Some(By::Fingerprint) => {
                let has = |field: &&Field| reply.fingerprint.get(**field).is_some();
                let mut told = self.fields.iter().filter(has).peekable();
                if told.peek().is_none() {
                    return Hit::Unknown;
                }
                Hit::from(told.any(|field| reply.fingerprint.is(*field, self.name)))
            }
        }
    }

    /// How surely a reply is known in this respect.
    pub(super) fn grade(&self, reply: &Reply<'_>) -> Grade {
        match self.by {
            Some(By::Fingerprint) => Grade::Fingerprint,
            // Where it is unknown nobody asks.
            _ => reply.replica.grade.unwrap_or(Grade::Fingerprint),
        }
    }
}

/// How surely a reply is known to be of anybody.
pub(super) fn grade(backends: &[Backend<'_>], reply: &Reply<'_>) -> Option<Grade> {
    let known = backends.iter().filter(|it| it.hit(reply) != Hit::Unknown);
    known.map(|it| it.grade(reply)).max()
}
