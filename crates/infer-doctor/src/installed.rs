//! Programs that run in the cluster, found by their images.

use crate::words::count;
use infer_core::image::{self, Image};
use infer_core::object;
use infer_core::pointer::Walk;
use serde_json::Value;

/// The label that Helm charts and many manifests put a version in (Kubernetes' "Recommended
/// Labels").
const VERSION_LABEL: &str = "app.kubernetes.io/version";

/// A Deployment, StatefulSet or DaemonSet that runs a program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Installed<'a> {
    pub(crate) object: &'a Value,
    /// The reference that was recognised.
    pub(crate) image: &'a str,
}

/// A version, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// Of the image's tag.
    Tag(String),
    /// Of a label.
    Label(String),
    /// None; in words why.
    Unknown(String),
}

impl Version {
    /// As a title carries it: `v1.15.1`, `version unknown`.
    pub(crate) fn text(&self) -> &str {
        match self {
            Version::Tag(version) | Version::Label(version) => version,
            Version::Unknown(_) => "version unknown",
        }
    }

    /// Its numbers.
    pub(crate) fn numbers(&self) -> Option<Vec<u32>> {
        match self {
            Version::Tag(version) | Version::Label(version) => numbers(version),
            Version::Unknown(_) => None,
        }
    }
}

/// The numbers of a version such as `v1.36.3`, `1.30.3-distroless`.
pub(crate) fn numbers(version: &str) -> Option<Vec<u32>> {
    Image {
        repository: "",
        name: "",
        tag: version,
    }
    .version()
}

/// Whether the last segments of an image's repository match a glob, as many as the glob has.
pub(crate) fn is_image(globs: &[impl AsRef<str>], reference: &str) -> bool {
    let repository = Image::parse(reference).repository;
    globs.iter().any(|glob| {
        let mut segments = repository.rsplit('/');
        glob.as_ref()
            .rsplit('/')
            .all(|glob| segments.next().is_some_and(|it| image::glob(glob, it)))
    })
}

/// The images of a workload's containers.
pub(crate) fn images(workload: &Value) -> impl Iterator<Item = &str> {
    let containers = workload.at("/spec/template/spec/containers");
    let containers = containers.and_then(Value::as_array);
    containers
        .into_iter()
        .flatten()
        .filter_map(|container| container.get("image")?.as_str())
}

/// Every workload with a container of such an image.
pub(crate) fn with_image<'a>(
    workloads: &'a [Value],
    globs: &[impl AsRef<str>],
) -> Vec<Installed<'a>> {
    let found = |object: &'a Value| {
        let image = images(object).find(|image| is_image(globs, image))?;
        Some(Installed { object, image })
    };
    workloads.iter().filter_map(found).collect()
}

impl Installed<'_> {
    /// Its version, by the image's tag, else by the label.
    pub(crate) fn version(&self) -> Version {
        let image = Image::parse(self.image);
        if image.version().is_some() {
            return Version::Tag(image.tag.to_owned());
        }
        let label = object::label(self.object, VERSION_LABEL);
        match (label, image.tag) {
            (Some(label), _) if numbers(label).is_some() => Version::Label(label.to_owned()),
            (_, "") => Version::Unknown("its image has no tag".to_owned()),
            (_, tag) => Version::Unknown(format!("its image's tag is `{tag}`")),
        }
    }

    /// `deployment/NAME in namespace NAMESPACE`.
    pub(crate) fn title(&self) -> String {
        title(self.object)
    }

    /// Pods that are ready, and pods that are wanted. A Deployment says `readyReplicas` and wants
    /// one where nothing else is written; a DaemonSet says both in its status (apps/v1).
    pub(crate) fn ready(&self) -> (u64, u64) {
        let number = |pointer: &str| self.object.at(pointer).and_then(Value::as_u64);
        if self.object.get("kind").and_then(Value::as_str) == Some("DaemonSet") {
            let wanted = number("/status/desiredNumberScheduled").unwrap_or(0);
            return (number("/status/numberReady").unwrap_or(0), wanted);
        }
        let wanted = number("/spec/replicas").unwrap_or(1);
        (number("/status/readyReplicas").unwrap_or(0), wanted)
    }

    /// `1 of 2 pods ready`.
    pub(crate) fn ready_text(&self) -> String {
        let (ready, wanted) = self.ready();
        let pods = count(usize::try_from(wanted).unwrap_or(usize::MAX), "pod");
        format!("{ready} of {pods} ready")
    }

    /// Whether none of its pods is ready, although there should be one.
    pub(crate) fn is_down(&self) -> bool {
        let (ready, wanted) = self.ready();
        ready == 0 && wanted > 0
    }

    /// The command that shows its pods.
    pub(crate) fn pods_command(&self) -> String {
        let namespace = object::namespace(self.object);
        let labels = self.object.at("/spec/selector/matchLabels");
        let labels = labels.and_then(Value::as_object);
        let pairs: Vec<(&String, &str)> = labels
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key, value.as_str()?)))
            .collect();
        // One pair keeps the line short; a name says most.
        let is_name = |(key, _): &&(&String, &str)| key.ends_with("/name") || *key == "app";
        match pairs.iter().find(is_name).or(pairs.first()) {
            Some((key, value)) => format!("kubectl -n {namespace} get pods -l {key}={value}"),
            None => format!("kubectl -n {namespace} get pods"),
        }
    }
}

/// `deployment/NAME in namespace NAMESPACE`.
pub(crate) fn title(workload: &Value) -> String {
    format!(
        "{} in namespace {}",
        short(workload),
        object::namespace(workload)
    )
}

/// `deployment/NAME`, as kubectl takes it.
pub(crate) fn short(object: &Value) -> String {
    let kind = object
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    format!("{}/{}", kind.to_ascii_lowercase(), object::name(object))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn workload(image: &str, label: &str) -> Value {
        json!({"kind": "Deployment", "metadata": {"name": "d", "namespace": "n",
            "labels": {VERSION_LABEL: label}},
            "spec": {"replicas": 2, "template": {"spec": {"containers": [{"image": image}]}}}})
    }

    #[test]
    fn an_image_is_known_by_its_last_segments_whatever_the_registry() {
        let globs = ["ingress-nginx/controller", "*nginx-ingress-controller"];
        assert!(is_image(
            &globs,
            "registry.k8s.io/ingress-nginx/controller:v1.15.1@sha256:0"
        ));
        assert!(is_image(&globs, "mirror:5000/a/ingress-nginx/controller"));
        assert!(is_image(&globs, "rancher/nginx-ingress-controller:v1"));
        assert!(!is_image(
            &globs,
            "registry.k8s.io/other/controller:v1.15.1"
        ));
        assert!(!is_image(&globs, "controller"));
        assert!(!is_image(&globs, "ingress-nginx/controller-chroot:v1"));
    }

    #[test]
    fn a_version_is_a_tag_or_a_label_and_never_a_guess() {
        let version = |image: &str, label: &str| {
            let objects = [workload(image, label)];
            with_image(&objects, &["x"])[0].version()
        };
        assert_eq!(version("x:v1.2.3", "9.9"), Version::Tag("v1.2.3".into()));
        assert_eq!(version("x:latest", "9.9"), Version::Label("9.9".into()));
        assert_eq!(
            version("x:latest", ""),
            Version::Unknown("its image's tag is `latest`".into())
        );
        assert_eq!(
            version("x@sha256:00", "stable"),
            Version::Unknown("its image has no tag".into())
        );
    }

    #[test]
    fn readiness_is_what_the_status_says() {
        let mut object = workload("x", "");
        let is_down = |object: &Value| {
            let objects = [object.clone()];
            with_image(&objects, &["x"])[0].is_down()
        };
        assert!(is_down(&object));
        object["status"]["readyReplicas"] = json!(1);
        assert!(!is_down(&object));
        object["status"]["readyReplicas"] = json!(0);
        object["spec"]["replicas"] = json!(0);
        assert!(!is_down(&object), "nobody wants a pod");
        let set = json!({"kind": "DaemonSet", "status": {"numberReady": 0, "desiredNumberScheduled": 3},
            "spec": {"template": {"spec": {"containers": [{"image": "x"}]}}}});
        assert!(is_down(&set));
    }
}
