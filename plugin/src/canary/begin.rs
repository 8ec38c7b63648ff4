//! What a run is made of, before it begins: the objects that are there, and the shift that fits them.

use crate::problem::Problem;
use infer_canary::shift::{Named, Shift, Stable, Wanted, plan};
use infer_canary::version::Version;
use infer_cluster::{Cluster, RequestError, Selector, What};
use infer_core::catalogue::Catalogue;
use serde_json::Value;

/// Kinds of a cluster that a shift looks at, and that may not be there or not be readable.
const BESIDE: [What; 6] = [
    What::HttpRoute,
    What::VirtualService,
    What::DestinationRule,
    What::HorizontalPodAutoscaler,
    What::NetworkPolicy,
    What::IngressClass,
];

/// Reads a Deployment and everything around it, and plans the shift.
///
/// # Errors
///
/// Every refusal, and an API server that does not answer.
pub(crate) async fn shift(
    cluster: &Cluster,
    catalogue: &Catalogue,
    workload: &str,
    version: Version,
    route: Option<Named>,
    replicas: u32,
    run: &str,
) -> Result<Shift, Problem> {
    let namespace = Some(cluster.namespace());
    let everything = Selector::all();
    let (workload, services, ingresses, deployments) = tokio::join!(
        cluster.get(What::Deployment, namespace, workload),
        cluster.list(What::Service, namespace, &everything),
        cluster.list(What::Ingress, namespace, &everything),
        cluster.list(What::Deployment, namespace, &everything),
    );
    let mut routes = ingresses?;
    let mut others = deployments?;
    for what in BESIDE {
        let space = (what != What::IngressClass).then_some(cluster.namespace());
        let listed = match cluster.list(what, space, &everything).await {
            Ok(listed) => listed,
            // No such kind, or not ours to see: what is not seen is not led through.
            Err(RequestError::NotServed { .. } | RequestError::Forbidden { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        match what {
            What::HttpRoute | What::VirtualService => routes.extend(listed),
            _ => others.extend(listed),
        }
    }
    let stable = Stable {
        workload: workload?,
        services: services?,
        routes,
        others,
    };
    let wanted = Wanted {
        version,
        route,
        replicas,
        run: run.to_owned(),
    };
    Ok(plan(catalogue, &stable, &wanted)?)
}

/// What is printed instead of being written, for whoever keeps the manifests elsewhere.
pub(crate) fn patches(
    shift: &Shift,
    carrier: Option<&Value>,
    steps: &[u8],
) -> Result<String, Problem> {
    let mut text = String::new();
    for object in &shift.objects {
        text.push_str("---\n");
        text.push_str(&infer_scaffold::yaml::plain(object));
    }
    // The share is in an object that is there already: each step is a patch of it.
    if let Some(carrier) = carrier {
        for step in steps {
            let patch = shift.set_weight(carrier, *step)?;
            let is_test = |it: &&infer_canary::shift::PatchOperation| {
                !matches!(it, infer_canary::shift::PatchOperation::Test(_))
            };
            let written: Vec<_> = patch.0.iter().filter(is_test).collect();
            let patch = serde_json::to_string(&written).unwrap_or_default();
            text.push_str(&format!(
                "# weight {step}\nkubectl patch {} -n {} --type=json -p '{patch}'\n",
                shift.carrier, shift.namespace
            ));
        }
    }
    Ok(text)
}
