//! Generated manifests for `check`: files of about 60 lines, each a Deployment, its Service and its
//! Ingress. One in three has mistakes, because a report without findings would cost too little.

use crate::error::{Error, Result};
use infer_simulate::dice::Dice;
use std::fmt::Write;
use std::path::Path;

/// Namespaces that the files are spread over.
const NAMESPACES: usize = 20;

/// The text of the `number`th file.
pub(crate) fn text(number: usize) -> String {
    let mut dice = Dice::of(number);
    let has_mistakes = number.is_multiple_of(3);
    let name = format!(
        "{}-{number}",
        dice.pick(&["chat", "search", "code", "triage"])
    );
    let namespace = format!("team-{:02}", number % NAMESPACES);
    let port = 8000 + dice.below(900);
    let generation = 30 + dice.below(40);
    let (prestop, grace, timeout, size) = if has_mistakes {
        (String::new(), 30, "60".to_owned(), "10G".to_owned())
    } else {
        let sleep = generation * 5;
        let hook = format!(
            "          lifecycle:\n            preStop:\n              sleep:\n                seconds: {sleep}\n"
        );
        (
            hook,
            sleep + 10,
            (generation * 20).to_string(),
            format!("{}m", 32 + dice.below(60)),
        )
    };
    let mut text = format!(
        "# Generated: file {number}.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  namespace: {namespace}
  annotations:
    kubectl-infer.dev/longest-generation: {generation}s
spec:
  replicas: {replicas}
  selector:
    matchLabels:
      app: {name}
  template:
    metadata:
      labels:
        app: {name}
    spec:
      terminationGracePeriodSeconds: {grace}
      containers:
        - name: server
          image: ghcr.io/ggml-org/llama.cpp:server-cuda-b{build}
          args: [\"-m\", \"/models/{model}.gguf\", \"--host\", \"0.0.0.0\", \"--port\", \"{port}\"]
          ports:
            - name: http
              containerPort: {port}
          readinessProbe:
            httpGet:
              path: /health
              port: http
            timeoutSeconds: {probe}
{prestop}          resources:
            limits:
              nvidia.com/gpu: 1
              memory: {memory}Gi
",
        replicas = 1 + dice.below(9),
        build = 5000 + dice.below(900),
        model = dice.hex(8),
        probe = if has_mistakes { 1 } else { 5 },
        memory = 8 + dice.below(90),
    );
    // Writing into a String cannot fail.
    let _ = write!(
        text,
        "---
apiVersion: v1
kind: Service
metadata:
  name: {name}
  namespace: {namespace}
spec:
  selector:
    app: {name}
  ports:
    - {{name: http, port: 80, targetPort: http}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {name}
  namespace: {namespace}
  annotations:
    nginx.ingress.kubernetes.io/proxy-body-size: {size}
    nginx.ingress.kubernetes.io/proxy-read-timeout: \"{timeout}\"
spec:
  ingressClassName: nginx
  rules:
    - host: {name}.example.com
      http:
        paths:
          - {{path: /, pathType: Prefix, backend: {{service: {{name: {name}, port: {{name: http}}}}}}}}
"
    );
    text
}

/// Writes `count` files into `directory`, and all of them into the one file `whole`.
pub(crate) fn write(count: usize, directory: &Path, whole: &Path) -> Result<()> {
    let io = |path: &Path| Error::io(format!("writing {}", path.display()));
    std::fs::create_dir_all(directory).map_err(io(directory))?;
    let mut all = String::new();
    for number in 0..count {
        let text = text(number);
        let file = directory.join(format!("app-{number:05}.yaml"));
        std::fs::write(&file, &text).map_err(io(&file))?;
        if number > 0 {
            all.push_str("---\n");
        }
        all.push_str(&text);
    }
    std::fs::write(whole, all).map_err(io(whole))
}

#[cfg(test)]
mod tests {
    use super::text;
    use infer_core::Engine;
    use std::sync::Arc;

    /// What the bench says of its input is so.
    #[test]
    fn a_third_of_the_files_has_mistakes() {
        let engine = Engine::builtin();
        for number in 0..12 {
            let text = text(number);
            let lines = text.lines().count();
            assert!(
                (55..=70).contains(&lines),
                "file {number} has {lines} lines"
            );
            let parsed = infer_manifest::parse(&text);
            assert!(parsed.errors.is_empty(), "{:?}", parsed.errors);
            let objects: Vec<_> = parsed
                .documents
                .into_iter()
                .map(|it| Arc::new(it.object))
                .collect();
            let checked = infer_core::check::check(&engine, &objects);
            let found: Vec<_> = checked
                .findings
                .iter()
                .map(|it| it.finding.rule.id)
                .collect();
            assert_eq!(checked.subjects, 3, "file {number}");
            let is_clean = found.is_empty();
            assert_eq!(is_clean, number % 3 != 0, "file {number}: {found:?}");
        }
    }
}
