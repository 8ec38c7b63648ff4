//! Objects of routers on a real API server with the real CRDs, validated strictly: what is right is
//! taken, and a misspelt field is refused.

use infer_tests::crds::{self, Crds};
use infer_tests::space::Space;

const ISTIO: &str = r"
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: models }
spec:
  selector: { istio: ingressgateway }
  servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: [models.lab] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: llama }
spec:
  hosts: [models.lab]
  gateways: [models]
  http:
    - timeout: 600s
      retries: { attempts: 0 }
      route:
        - { destination: { host: llama, subset: stable, port: { number: 80 } }, weight: 90 }
        - { destination: { host: llama, subset: canary, port: { number: 80 } }, weight: 10 }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: llama }
spec:
  host: llama
  trafficPolicy:
    connectionPool: { tcp: { connectTimeout: 5s } }
    outlierDetection: { consecutive5xxErrors: 5, interval: 10s, baseEjectionTime: 30s, maxEjectionPercent: 50 }
  subsets:
    - { name: stable, labels: { version: stable } }
    - { name: canary, labels: { version: canary } }
";

const GATEWAY_API: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: models }
spec:
  gatewayClassName: contour
  listeners: [{ name: http, port: 80, protocol: HTTP }]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: llama }
spec:
  parentRefs: [{ name: models }]
  hostnames: [models.lab]
  rules:
    - timeouts: { request: 600s, backendRequest: 600s }
      backendRefs: [{ name: llama, port: 80, weight: 90 }, { name: llama-canary, port: 80, weight: 10 }]
";

const CONTOUR: &str = r"
apiVersion: projectcontour.io/v1
kind: HTTPProxy
metadata: { name: llama }
spec:
  virtualhost: { fqdn: models.lab }
  routes:
    - timeoutPolicy: { response: infinity, idle: 60s }
      services: [{ name: llama, port: 80 }]
";

const TRAEFIK: &str = r"
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: { name: llama }
spec:
  entryPoints: [web]
  routes: [{ kind: Rule, match: Host(`models.lab`), services: [{ name: llama, port: 80 }] }]
";

/// A namespace on an API server that has these CRDs.
fn space_with(name: &str, wanted: &[Crds]) -> Option<Space> {
    let lab = Space::lab()?;
    crds::install(&lab, wanted).then(|| Space::in_group(lab, name, None))
}

/// `manifest` is taken; with a field misspelt it is refused, and the answer names the field.
fn taken_but_not_misspelt(space: &Space, manifest: &str, fields: &[(&str, &str)]) {
    space.ok(&["apply", "--validate=strict", "-f", "-"], manifest);
    for (field, misspelt) in fields {
        let wrong = manifest.replacen(field, misspelt, 1);
        assert_ne!(manifest, wrong, "{field} is not in the manifest");
        let dry = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
        let output = space.run(&dry, &wrong);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{misspelt} was taken");
        let name = misspelt.trim_end_matches(':');
        assert!(
            said.contains("unknown field") && said.contains(name),
            "refused, but not for {misspelt}: {said}"
        );
    }
}

#[test]
fn istios_kinds_are_validated_strictly() {
    let Some(space) = space_with("strict-istio", &[Crds::Istio]) else {
        return;
    };
    let fields = [
        ("selector:", "selectors:"),
        ("timeout:", "timeOut:"),
        ("maxEjectionPercent:", "maxEjectionPercentage:"),
    ];
    taken_but_not_misspelt(&space, ISTIO, &fields);
}

#[test]
fn gateway_apis_kinds_are_validated_strictly() {
    let Some(space) = space_with("strict-gateway-api", &[Crds::GatewayApi]) else {
        return;
    };
    let fields = [
        ("gatewayClassName:", "gatewayClass:"),
        ("backendRequest:", "backend:"),
    ];
    taken_but_not_misspelt(&space, GATEWAY_API, &fields);
}

#[test]
fn contours_and_traefiks_kinds_are_validated_strictly() {
    let Some(space) = space_with("strict-others", &[Crds::Contour, Crds::Traefik]) else {
        return;
    };
    taken_but_not_misspelt(&space, CONTOUR, &[("response:", "responses:")]);
    taken_but_not_misspelt(&space, TRAEFIK, &[("entryPoints:", "entrypoints:")]);
}
