//! An Ingress, with the annotations of the controller that serves it.

use super::Via;
use crate::container::PORT_NAME;
use crate::document::Document;
use crate::intent::Wanted;
use crate::service;
use infer_core::Engine;
use infer_core::catalogue::{Controller, TimerRole};
use infer_core::pointer::join;
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule,
    IngressServiceBackend, IngressSpec, ServiceBackendPort,
};
use std::collections::BTreeMap;

/// What a chat with a few pictures takes, in NGINX's words.
const BODY: &str = "16m";

/// What is said of a controller beside its entry in the catalogue.
struct Choice {
    /// Its entry.
    controller: &'static str,
    /// The class that its makers' chart makes.
    class: &'static str,
    /// The annotation that switches response buffering off, and its value.
    buffering: Option<(&'static str, &'static str)>,
}

fn choice(via: Via) -> Choice {
    match via {
        Via::F5Nginx => Choice {
            controller: "f5-nginx-ingress",
            class: "nginx",
            // nginx/kubernetes-ingress internal/configs/annotations.go
            buffering: Some(("nginx.org/proxy-buffering", "False")),
        },
        Via::Contour => Choice {
            controller: "contour",
            class: "contour",
            buffering: None,
        },
        Via::Traefik => Choice {
            controller: "traefik",
            class: "traefik",
            buffering: None,
        },
        _ => Choice {
            controller: "ingress-nginx",
            class: "nginx",
            // kubernetes/ingress-nginx internal/ingress/annotations/proxy/main.go
            buffering: Some(("nginx.ingress.kubernetes.io/proxy-buffering", "off")),
        },
    }
}

fn controller<'e>(engine: &'e Engine, choice: &Choice) -> Option<&'e Controller> {
    let mut all = engine.catalogue.controllers.iter();
    all.find(|controller| controller.name == choice.controller)
}

pub(crate) fn notes(engine: &Engine, wanted: &Wanted<'_>) -> Option<String> {
    let controller = controller(engine, &choice(wanted.intent.via))?;
    let retired = controller.retired.as_ref()?;
    Some(format!(
        "{} is retired: its last release is {} of {}; `--via gateway`, `contour` or `traefik` have a future",
        controller.title, retired.last_version, retired.since
    ))
}

pub(crate) fn ingress(engine: &Engine, wanted: &Wanted<'_>) -> Document {
    let intent = wanted.intent;
    let choice = choice(intent.via);
    let mut annotations = BTreeMap::new();
    let mut comments: Vec<(String, &str)> = Vec::new();
    if let Some(controller) = controller(engine, &choice) {
        for (role, why) in [
            (
                TimerRole::Read,
                "An answer that is not streamed is silent until it is complete.",
            ),
            (
                TimerRole::FirstByte,
                "An answer that is not streamed is silent until it is complete.",
            ),
            (
                TimerRole::Send,
                "A long prompt is sent while the server is still busy with others.",
            ),
            (TimerRole::Whole, "For the whole answer, a stream too."),
        ] {
            if let Some((timer, annotation)) = controller.annotated_timer(role) {
                annotations.insert(
                    annotation.clone(),
                    timer.unit.write(intent.longest_generation),
                );
                comments.push((annotation.clone(), why));
            }
        }
        if let Some(body) = &controller.body {
            annotations.insert(body.annotation.clone(), BODY.to_owned());
            comments.push((
                body.annotation.clone(),
                "A chat with a few pictures; by default requests above 1 MiB get 413.",
            ));
        }
    }
    if let Some((annotation, value)) = choice.buffering {
        annotations.insert(annotation.to_owned(), value.to_owned());
        comments.push((
            annotation.to_owned(),
            "Tokens reach the client as they come, not in clumps.",
        ));
    }
    let mut metadata = service::metadata(intent);
    metadata.annotations = (!annotations.is_empty()).then_some(annotations);
    let mut document = Document::of(&Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: Some(
                intent
                    .class
                    .clone()
                    .unwrap_or_else(|| choice.class.to_owned()),
            ),
            rules: Some(vec![IngressRule {
                host: Some(wanted.host.clone()),
                http: Some(HTTPIngressRuleValue {
                    paths: vec![HTTPIngressPath {
                        path: Some("/".to_owned()),
                        path_type: "Prefix".to_owned(),
                        backend: IngressBackend {
                            service: Some(IngressServiceBackend {
                                name: intent.name.clone(),
                                port: Some(ServiceBackendPort {
                                    name: Some(PORT_NAME.to_owned()),
                                    number: None,
                                }),
                            }),
                            ..IngressBackend::default()
                        },
                    }],
                }),
            }]),
            ..IngressSpec::default()
        }),
        ..Ingress::default()
    });
    for (annotation, why) in comments {
        document.comment(&join("/metadata/annotations", &annotation), why);
    }
    if intent.via == Via::Traefik {
        document.comment(
            "",
            "Traefik waits for an answer without limit; responseHeaderTimeout of a ServersTransport ends that.",
        );
    }
    document
}
