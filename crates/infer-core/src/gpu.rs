//! Accelerators: what tells that one is meant, how many, and who offers them.

use crate::argv::{Environment, Flag, Variable};
use crate::catalogue::GpuRole;
use crate::image::{self, Image};
use crate::kind::Kind;
use crate::lens::Workload;
use crate::pointer::Walk;
use crate::server::Server;
use crate::world::World;
use serde_json::Value;

/// Prefixes of the extended resources that device plugins offer: NVIDIA/k8s-device-plugin README,
/// ROCm/k8s-device-plugin docs, intel/intel-device-plugins-for-kubernetes cmd/gpu_plugin,
/// kserve/kserve pkg/constants, ray-project/kuberay common/pod.go, aibrix samples.
const ACCELERATORS: &[&str] = &[
    "nvidia.com/",
    "amd.com/",
    "gpu.intel.com/",
    "intel.com/gpu",
    "habana.ai/gaudi",
    "google.com/tpu",
    "aws.amazon.com/neuron",
    "huawei.com/Ascend",
];

/// Whether a resource's name is that of an accelerator.
pub fn is_accelerator(resource: &str) -> bool {
    ACCELERATORS
        .iter()
        .any(|prefix| resource.starts_with(prefix))
}

/// What tells that a server is meant to run on an accelerator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The resource; `None` where the vendor cannot be known.
    pub resource: Option<String>,
    /// What was seen, in words.
    pub seen: String,
}

/// Whether the pod already asks for an accelerator, by resource or by claim.
pub fn asks(workload: &Workload<'_>) -> bool {
    let spec = workload.template.get("spec");
    let claims = spec
        .and_then(|spec| spec.get("resourceClaims"))
        .and_then(Value::as_array);
    if claims.is_some_and(|claims| !claims.is_empty()) {
        return true;
    }
    let containers = spec
        .and_then(|spec| spec.get("containers"))
        .and_then(Value::as_array);
    containers.into_iter().flatten().any(|container| {
        ["limits", "requests"].into_iter().any(|list| {
            let resources = container.at(&format!("/resources/{list}"));
            resources
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .any(|(name, _)| is_accelerator(name))
        })
    })
}

/// What tells that a server is meant to run on an accelerator; `None` where nothing does, or where
/// its arguments or its image say that it runs without.
pub fn evidence(workload: &Workload<'_>, server: &Server<'_>) -> Option<Evidence> {
    let container = workload.container(server);
    let reference = container
        .get("image")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let image = Image::parse(reference);
    let gpu = &server.runtime.gpu;
    if gpu
        .cpu_images
        .iter()
        .any(|glob| image::glob(glob, image.name))
        || says_cpu(server)
    {
        return None;
    }
    let spec = workload.template.get("spec")?;
    let found = |resource: &str, seen: String| {
        Some(Evidence {
            resource: Some(resource.to_owned()),
            seen,
        })
    };
    for evidence in &gpu.evidence {
        if evidence
            .tags
            .iter()
            .any(|glob| image::glob(glob, image.tag))
        {
            return found(
                &evidence.resource,
                format!("the image's tag is `{}`", image.tag),
            );
        }
        if evidence
            .images
            .iter()
            .any(|glob| image::glob(glob, image.name))
        {
            return found(&evidence.resource, format!("the image is `{}`", image.name));
        }
    }
    if spec.get("runtimeClassName").and_then(Value::as_str) == Some("nvidia") {
        return found(
            "nvidia.com/gpu",
            "`runtimeClassName` is `nvidia`".to_owned(),
        );
    }
    for resource in ["nvidia.com/gpu", "amd.com/gpu"] {
        let tolerations = spec.get("tolerations").and_then(Value::as_array);
        let tolerates = |item: &Value| item.get("key").and_then(Value::as_str) == Some(resource);
        if tolerations.into_iter().flatten().any(tolerates) {
            return found(resource, format!("it tolerates the taint `{resource}`"));
        }
        let selector = spec.get("nodeSelector").and_then(Value::as_object);
        if let Some((key, _)) = selector
            .into_iter()
            .flatten()
            .find(|(key, _)| key.starts_with(resource))
        {
            return found(resource, format!("`nodeSelector` has `{key}`"));
        }
    }
    match Environment::of(container).get("NVIDIA_VISIBLE_DEVICES") {
        Variable::Literal("" | "void" | "none") | Variable::Absent => {}
        Variable::Elsewhere if container.get("envFrom").is_some() => {}
        Variable::Literal(_) | Variable::Elsewhere => {
            return found(
                "nvidia.com/gpu",
                "`NVIDIA_VISIBLE_DEVICES` is set".to_owned(),
            );
        }
    }
    match count(server) {
        Some(count) if count > 1 => Some(Evidence {
            resource: None,
            seen: format!("its arguments spread the model over {count} GPUs"),
        }),
        _ => None,
    }
}

fn says_cpu(server: &Server<'_>) -> bool {
    server.runtime.gpu.count.iter().filter(|count| count.role == GpuRole::CpuWhen).any(|count| {
        matches!(server.flags.get(&count.flags), Flag::Set(seen) if Some(seen) == count.value.as_deref())
    })
}

/// How many accelerators a server's arguments ask for; `None` where that cannot be known.
pub fn count(server: &Server<'_>) -> Option<u64> {
    let mut count = 1_u64;
    for rule in &server.runtime.gpu.count {
        let flag = match server.flags.get(&rule.flags) {
            Flag::Absent => server.flags.get(&rule.otherwise),
            found => found,
        };
        match (rule.role, flag) {
            (_, Flag::Absent) => {}
            (GpuRole::Unknown, _) | (_, Flag::Unknown) => return None,
            (GpuRole::UnknownWhen, Flag::Set(seen)) => {
                if Some(seen) == rule.value.as_deref() {
                    return None;
                }
            }
            (GpuRole::CpuWhen, Flag::Set(_)) => {}
            (GpuRole::List, Flag::Set(list)) => {
                count = count.max(list.split(',').count() as u64);
            }
            (GpuRole::Multiply, Flag::Set(number)) => {
                count = count.checked_mul(number.parse().ok()?)?;
            }
            (GpuRole::Divide, Flag::Set(number)) => {
                let number: u64 = number.parse().ok()?;
                if number == 0 || !count.is_multiple_of(number) {
                    return None;
                }
                count /= number;
            }
        }
    }
    (1..=16).contains(&count).then_some(count)
}

/// Whether a Node offers so many of a resource; `None` where no Node was looked for.
pub fn offered(world: &World<'_>, resource: &str, count: u64) -> Option<bool> {
    if !world.reader.knows(Kind::Node) {
        return None;
    }
    let mut nodes = world.reader.all(Kind::Node).peekable();
    // A cluster whose Nodes come with the pods (scale from zero) shows none: the evidence decides.
    nodes.peek()?;
    Some(nodes.any(|node| {
        let offers = node
            .at("/status/allocatable")
            .and_then(|all| all.get(resource));
        let offers = offers
            .and_then(Value::as_str)
            .and_then(|text| text.parse::<u64>().ok());
        offers.is_some_and(|offers| offers >= count)
    }))
}
