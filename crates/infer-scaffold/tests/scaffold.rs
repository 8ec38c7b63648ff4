//! What is written, in every combination: nothing is found in it, admission changes nothing in it,
//! and its YAML is what it says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use infer_core::Engine;
use infer_core::check;
use infer_scaffold::{Intent, ModelSource, Scaffold, Via, scaffold};
use serde_json::{Value, json};

fn intent(runtime: &str, via: Via) -> Intent {
    Intent {
        name: "llama".to_owned(),
        namespace: None,
        runtime: runtime.to_owned(),
        image: None,
        model: ModelSource::parse("hf:org/model").unwrap(),
        cache_claim: None,
        replicas: 2,
        gpus: 1,
        via,
        host: None,
        class: None,
        gateway_selector: None,
        longest_generation: 300,
        drain_window: None,
        startup_budget: None,
    }
}

/// What is wanted, in every combination.
fn every_intent() -> Vec<Intent> {
    let mut all = Vec::new();
    for (runtime, source) in [
        ("llama.cpp", "hf:org/model"),
        ("llama.cpp", "hf:org/model:Q4_K_M"),
        ("llama.cpp", "hf:org/model:model.gguf"),
        ("llama.cpp", "pvc:models/model.gguf"),
        ("llama.cpp", "path:/models/model.gguf"),
        ("vllm", "hf:org/model"),
        ("vllm", "pvc:models"),
        ("vllm", "pvc:models/a/b"),
        ("vllm", "path:/models/model"),
    ] {
        for via in Via::ALL {
            for gpus in 0..=2 {
                for replicas in [1, 3] {
                    all.push(Intent {
                        model: ModelSource::parse(source).unwrap(),
                        gpus,
                        replicas,
                        namespace: (replicas > 1).then(|| "inference".to_owned()),
                        ..intent(runtime, via)
                    });
                }
            }
        }
    }
    all
}

fn written(intent: &Intent) -> Scaffold {
    scaffold(&Engine::builtin(), intent)
        .unwrap_or_else(|refusals| panic!("{intent:?}: {refusals:?}"))
}

#[test]
fn a_check_finds_nothing_and_admission_changes_nothing() {
    let engine = Engine::builtin();
    for intent in every_intent() {
        let scaffold = written(&intent);
        let found = scaffold.findings(&engine);
        assert!(
            found.is_empty(),
            "{intent:?}\n{}\n{found:#?}",
            scaffold.yaml()
        );
        let changed = check::diff(&engine, &scaffold.objects());
        assert!(
            changed.is_empty(),
            "{intent:?}\n{}\n{changed:#?}",
            scaffold.yaml()
        );
    }
}

#[test]
fn the_check_sees_the_server_and_the_way_to_it() {
    let engine = Engine::builtin();
    for via in Via::ALL {
        for runtime in ["llama.cpp", "vllm"] {
            let checked = check::check(&engine, &written(&intent(runtime, via)).objects());
            // At least the Deployment and the Service: what is no subject, nothing is found in.
            assert!(checked.subjects >= 2, "{via:?} {checked:?}");
        }
    }
    // And something would be found where it is taken out.
    let objects = written(&intent("llama.cpp", Via::IngressNginx)).objects();
    let without: Vec<_> = objects
        .iter()
        .map(|object| {
            let mut object = object.as_ref().clone();
            if object["kind"] == "Ingress" {
                object["metadata"]["annotations"] =
                    json!({"nginx.ingress.kubernetes.io/proxy-buffering": "off"});
            } else if object["kind"] == "Deployment" {
                let container = &mut object["spec"]["template"]["spec"]["containers"][0];
                container.as_object_mut().unwrap().remove("readinessProbe");
            }
            std::sync::Arc::new(object)
        })
        .collect();
    let found = check::check(&engine, &without).findings;
    let rules: Vec<_> = found.iter().map(|found| found.finding.rule.id).collect();
    assert!(
        rules.contains(&"no-readiness-probe") && rules.contains(&"timeout-too-short"),
        "{rules:?}"
    );
}

#[test]
fn the_text_reads_back_as_the_objects() {
    for intent in every_intent() {
        let scaffold = written(&intent);
        let text = scaffold.yaml();
        let parsed = infer_manifest::parse(&text);
        assert_eq!(parsed.errors, [], "{text}");
        let read: Vec<Value> = parsed
            .documents
            .into_iter()
            .map(|document| document.object)
            .collect();
        let objects: Vec<Value> = scaffold
            .documents
            .iter()
            .map(|document| document.object.clone())
            .collect();
        assert_eq!(read, objects, "{text}");
        for values in &scaffold.values {
            // Values are no object of Kubernetes; they are read as part of one.
            let text = format!("apiVersion: v1\nkind: Values\n{}", values.document.yaml());
            let mut object = infer_manifest::parse(&text).documents.remove(0).object;
            let members = object.as_object_mut().unwrap();
            members.remove("apiVersion");
            members.remove("kind");
            assert_eq!(object, values.document.object, "{text}");
        }
    }
}

#[test]
fn comments_stand_on_something_and_fit_a_line() {
    for intent in every_intent() {
        let scaffold = written(&intent);
        let values = scaffold.values.iter().map(|values| &values.document);
        for document in scaffold.documents.iter().chain(values) {
            for (pointer, text) in document.comments() {
                assert!(
                    document.object.pointer(pointer).is_some(),
                    "{pointer}: {text}"
                );
            }
            let text = document.yaml();
            for line in text
                .lines()
                .filter(|line| line.trim_start().starts_with('#'))
            {
                assert!(line.chars().count() <= 120, "{line}");
            }
        }
    }
}

#[test]
fn no_two_objects_share_a_file() {
    for via in Via::ALL {
        let scaffold = written(&Intent {
            namespace: Some("inference".to_owned()),
            ..intent("vllm", via)
        });
        let mut names: Vec<_> = scaffold
            .documents
            .iter()
            .map(infer_scaffold::Document::file_name)
            .collect();
        let resources = scaffold.kustomization().object["resources"].clone();
        assert_eq!(resources, json!(names));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), scaffold.documents.len());
    }
}

fn deployment(intent: &Intent) -> Value {
    let documents = written(intent).documents;
    let found = documents
        .into_iter()
        .find(|document| document.object["kind"] == "Deployment");
    found.unwrap().object
}

fn args(intent: &Intent) -> Value {
    deployment(intent)["spec"]["template"]["spec"]["containers"][0]["args"].clone()
}

#[test]
fn each_source_gives_the_words_that_the_server_takes() {
    for (runtime, source, gpus, wanted) in [
        (
            "llama.cpp",
            "hf:org/m",
            0,
            json!(["-hf", "org/m", "--host", "0.0.0.0", "--port", "8080"]),
        ),
        (
            "llama.cpp",
            "hf:org/m:Q4_0",
            2,
            json!(["-hf", "org/m:Q4_0", "--host", "0.0.0.0", "--port", "8080"]),
        ),
        (
            "llama.cpp",
            "hf:org/m:a.gguf",
            0,
            json!([
                "-hf", "org/m", "-hff", "a.gguf", "--host", "0.0.0.0", "--port", "8080"
            ]),
        ),
        (
            "llama.cpp",
            "pvc:c/a.gguf",
            0,
            json!([
                "-m",
                "/models/a.gguf",
                "--host",
                "0.0.0.0",
                "--port",
                "8080"
            ]),
        ),
        (
            "llama.cpp",
            "path:/x/a.gguf",
            0,
            json!(["-m", "/x/a.gguf", "--host", "0.0.0.0", "--port", "8080"]),
        ),
        (
            "vllm",
            "hf:org/m",
            1,
            json!([
                "org/m",
                "--host",
                "0.0.0.0",
                "--port",
                "8000",
                "--shutdown-timeout",
                "300"
            ]),
        ),
        (
            "vllm",
            "pvc:c",
            2,
            json!([
                "/models",
                "--served-model-name",
                "llama",
                "--host",
                "0.0.0.0",
                "--port",
                "8000",
                "--tensor-parallel-size",
                "2",
                "--shutdown-timeout",
                "300"
            ]),
        ),
    ] {
        let intent = Intent {
            model: ModelSource::parse(source).unwrap(),
            gpus,
            ..intent(runtime, Via::None)
        };
        assert_eq!(args(&intent), wanted, "{source}");
    }
}

#[test]
fn the_drain_follows_from_the_longest_generation_and_its_cap() {
    let engine = Engine::builtin();
    for (runtime, longest, window, sleep, grace, short) in [
        ("llama.cpp", 300, None, 300, 310, false),
        ("llama.cpp", 1200, None, 590, 600, true),
        ("llama.cpp", 300, Some(60), 60, 70, true),
        ("vllm", 300, None, 15, 325, false),
        ("vllm", 1200, None, 15, 600, true),
    ] {
        let intent = Intent {
            longest_generation: longest,
            drain_window: window,
            ..intent(runtime, Via::IngressNginx)
        };
        let pod = deployment(&intent)["spec"]["template"]["spec"].clone();
        let slept = &pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"];
        assert_eq!(
            (slept, &pod["terminationGracePeriodSeconds"]),
            (&json!(sleep), &json!(grace)),
            "{intent:?}"
        );
        let scaffold = written(&intent);
        // A window that is shorter than an answer is all that a check says.
        let found = scaffold.findings(&engine);
        let rules: Vec<_> = found.iter().map(|found| found.finding.rule.id).collect();
        let expected: &[&str] = if short { &["drain-window-short"] } else { &[] };
        assert_eq!(rules, expected, "{intent:?}");
        assert!(check::diff(&engine, &scaffold.objects()).is_empty());
    }
}

#[test]
fn an_image_of_another_name_is_told_what_to_run() {
    for (runtime, image, command) in [
        (
            "llama.cpp",
            "registry.local/team/assistant:1",
            json!(["llama-server"]),
        ),
        ("llama.cpp", "registry.local/llama-server:1", Value::Null),
        (
            "vllm",
            "registry.local/team/assistant:1",
            json!(["vllm", "serve"]),
        ),
        ("vllm", "mirror.local/vllm-openai:v1", Value::Null),
    ] {
        let intent = Intent {
            image: Some(image.to_owned()),
            ..intent(runtime, Via::IngressNginx)
        };
        let container = deployment(&intent)["spec"]["template"]["spec"]["containers"][0].clone();
        assert_eq!(container["command"], command, "{image}");
        assert!(
            written(&intent).findings(&Engine::builtin()).is_empty(),
            "{image}"
        );
    }
}

#[test]
fn the_gpu_is_the_one_that_the_image_is_built_for() {
    for (image, resource) in [
        (None, "nvidia.com/gpu"),
        (
            Some("ghcr.io/ggml-org/llama.cpp:server-rocm"),
            "amd.com/gpu",
        ),
        (Some("registry.local/team/assistant:1"), "nvidia.com/gpu"),
    ] {
        let intent = Intent {
            image: image.map(str::to_owned),
            gpus: 2,
            ..intent("llama.cpp", Via::None)
        };
        let container = deployment(&intent)["spec"]["template"]["spec"]["containers"][0].clone();
        assert_eq!(
            container["resources"],
            json!({"limits": {resource: "2"}}),
            "{image:?}"
        );
    }
    let none = Intent {
        gpus: 0,
        ..intent("vllm", Via::None)
    };
    let container = deployment(&none)["spec"]["template"]["spec"]["containers"][0].clone();
    assert_eq!(container["resources"], Value::Null);
    assert_eq!(container["image"], "vllm/vllm-openai-cpu:v0.33.0");
}

#[test]
fn the_objects_of_istio_name_each_other() {
    let scaffold = written(&Intent {
        namespace: Some("inference".to_owned()),
        replicas: 3,
        ..intent("llama.cpp", Via::Istio)
    });
    let of = |kind: &str| -> Value {
        let found = scaffold
            .documents
            .iter()
            .find(|document| document.object["kind"] == kind);
        found.unwrap_or_else(|| panic!("no {kind}")).object.clone()
    };
    let (gateway, route, rule) = (of("Gateway"), of("VirtualService"), of("DestinationRule"));
    assert_eq!(
        route["spec"]["gateways"],
        json!([gateway["metadata"]["name"]])
    );
    assert_eq!(
        route["spec"]["hosts"],
        gateway["spec"]["servers"][0]["hosts"]
    );
    let destination = &route["spec"]["http"][0]["route"][0]["destination"];
    assert_eq!(
        (&destination["host"], &rule["spec"]["host"]),
        (&json!("llama"), &json!("llama"))
    );
    assert_eq!(
        destination["port"]["number"],
        of("Service")["spec"]["ports"][0]["port"]
    );
    // One of three is 33.3 %.
    assert_eq!(
        rule["spec"]["trafficPolicy"]["outlierDetection"]["maxEjectionPercent"],
        34
    );
    assert_eq!(
        of("Namespace")["metadata"]["labels"],
        json!({"istio-injection": "enabled"})
    );
    let template = of("Deployment")["spec"]["template"]["metadata"].clone();
    assert_eq!(
        template["annotations"]["proxy.istio.io/config"],
        r#"{"terminationDrainDuration":"300s"}"#
    );
    // Without a namespace to label, the pods ask for the sidecar.
    let alone = deployment(&intent("llama.cpp", Via::Istio));
    assert_eq!(
        alone["spec"]["template"]["metadata"]["labels"]["sidecar.istio.io/inject"],
        "true"
    );
    assert_eq!(
        alone["spec"]["template"]["metadata"]["annotations"],
        template["annotations"]
    );
}

#[test]
fn what_cannot_be_written_is_refused_at_once_and_in_full() {
    let bad = Intent {
        name: "1llama".to_owned(),
        namespace: Some("In".to_owned()),
        runtime: "sglang".to_owned(),
        image: Some("ghcr.io/GGML-org/x:1".to_owned()),
        replicas: 0,
        gpus: 17,
        host: Some("x y".to_owned()),
        class: Some("eg".to_owned()),
        gateway_selector: Some(("a b".to_owned(), "c".to_owned())),
        longest_generation: 0,
        ..intent("llama.cpp", Via::None)
    };
    let refusals = scaffold(&Engine::builtin(), &bad).unwrap_err();
    let text: Vec<String> = refusals
        .iter()
        .map(|r| format!("{r} ({})", r.help.as_deref().unwrap_or("-")))
        .collect();
    for word in [
        "`1llama`",
        "`In`",
        "`sglang`",
        "`llama.cpp`, `vllm`",
        "GGML",
        "0 replicas",
        "17 GPUs",
        "`x y`",
        "a host is given",
        "a class is given",
        "a selector",
        "longest generation is 0 s",
    ] {
        assert!(
            text.iter().any(|line| line.contains(word)),
            "{word}: {text:#?}"
        );
    }
    let refused = |intent: Intent, word: &str| {
        let refusals = scaffold(&Engine::builtin(), &intent).unwrap_err();
        assert_eq!(refusals.len(), 1, "{refusals:?}");
        assert!(refusals[0].to_string().contains(word), "{refusals:?}");
        assert!(refusals[0].help.is_some());
    };
    let from = |runtime: &str, source: &str| Intent {
        model: ModelSource::parse(source).unwrap(),
        ..intent(runtime, Via::None)
    };
    refused(from("vllm", "hf:org/m:m.gguf"), "a whole repository");
    refused(from("vllm", "hf:org/m:Q4_0"), "a whole repository");
    refused(from("llama.cpp", "pvc:models"), "one file");
    refused(
        Intent {
            cache_claim: Some("c".to_owned()),
            ..from("llama.cpp", "path:/m")
        },
        "nothing is downloaded",
    );
    refused(from("modular-max", "hf:org/m"), "from nothing");
}

#[test]
fn every_runtime_of_the_catalogue_that_says_how_is_written() {
    let engine = Engine::builtin();
    let mut written = 0;
    for runtime in &engine.catalogue.runtimes {
        if runtime.scaffold.is_none() {
            continue;
        }
        for source in ["hf:org/model", "path:/models/model"] {
            for gpus in [0, 2] {
                let intent = Intent {
                    model: ModelSource::parse(source).unwrap(),
                    gpus,
                    ..intent(&runtime.name, Via::IngressNginx)
                };
                // Nothing is left to fill in, and the server is told which model to serve.
                let args = args(&intent).to_string();
                assert!(!args.contains('{') && !args.contains('}'), "{args}");
                let found = self::written(&intent).findings(&engine);
                assert!(found.is_empty(), "{found:#?}");
                written += 1;
            }
        }
    }
    assert!(written >= 8);
}
