//! Who answered: from a response header, from the access log of the proxy in front, or from what the
//! model's answer says of itself.

mod fingerprint;
mod names;
mod watch;

pub(crate) use fingerprint::{Field, Fingerprint};
pub(crate) use names::is_named_after;
pub(crate) use watch::{Behind, Watch, Watched};

use infer_traffic::attribution;

/// How surely it is known; the surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grade {
    /// A response header names it.
    Direct,
    /// The proxy's access log names it, joined by the request's own user agent.
    Joined,
    /// The model's answer names its version: no replica, but what a split is between.
    Fingerprint,
}

impl Grade {
    /// Its name in reports.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Grade::Direct => "A direct",
            Grade::Joined => "A joined",
            Grade::Fingerprint => "D fingerprint",
        }
    }
}

/// Who answered one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Replica {
    /// Name of the pod.
    pub(crate) pod: Option<String>,
    /// Its address, as header or log name it.
    pub(crate) address: Option<String>,
    /// Every try of the proxy, in order; empty where they are unknown.
    pub(crate) attempts: Vec<Tried>,
    /// How surely; none is unknown.
    pub(crate) grade: Option<Grade>,
    /// What it was read from, or why it is unknown.
    pub(crate) reason: String,
    /// The value of the response header, as it came.
    pub(crate) header: Option<String>,
    /// The Services behind the route that it is among: one, where the proxy's log names it.
    pub(crate) services: Vec<String>,
    /// The workload that the pod belongs to, by its owner.
    pub(crate) workload: Option<String>,
    /// The subset of Istio's DestinationRule that the proxy's log names.
    pub(crate) subset: Option<String>,
}

/// One try of the proxy at one replica.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tried {
    /// Address of the replica.
    pub(crate) address: String,
    /// Its pod, where an EndpointSlice knew it.
    pub(crate) pod: Option<String>,
    /// What it answered; none where it did not.
    pub(crate) status: Option<u16>,
    /// For how long.
    pub(crate) seconds: Option<f64>,
}

impl Replica {
    /// Nobody knows, and why.
    pub(crate) fn unknown(reason: impl Into<String>) -> Replica {
        Replica {
            reason: reason.into(),
            ..Replica::default()
        }
    }

    /// The replica that a response header names.
    pub(crate) fn in_headers(
        headers: &[(String, String)],
        configured: Option<&str>,
        pod_of: impl Fn(&str) -> Option<String>,
    ) -> Option<Replica> {
        let served = attribution::served_by(headers, configured)?;
        let address = served.address.map(|address| address.to_string());
        let pod = match &address {
            Some(address) => pod_of(address),
            None => Some(served.value.clone()),
        };
        Some(Replica {
            pod,
            address,
            grade: Some(Grade::Direct),
            reason: format!("response header {}", served.header),
            header: Some(served.value),
            ..Replica::default()
        })
    }

    /// What counts hits: the pod, else the address, with the grade.
    pub(crate) fn name(&self) -> Option<(String, Grade)> {
        let grade = self.grade?;
        let name = self.pod.clone().or_else(|| self.address.clone())?;
        Some((name, grade))
    }
}
