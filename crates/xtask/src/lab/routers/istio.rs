//! istiod, and upstream's Envoy as its gateway.
//!
//! Istio's own Envoy has filters that upstream's has not; the variables and mesh settings below keep
//! them out of what istiod sends (run in the lab: without them Envoy refuses every cluster and
//! listener). That leaves sidecars out, which need the agent beside Istio's Envoy too.

use std::net::{Ipv4Addr, SocketAddrV4};

use serde_json::json;

use super::crds::{self, Crds};
use super::{Router, Running, Start, access_log, template};
use crate::Result;

pub(super) fn start(start: &mut Start<'_>) -> Result<Running> {
    let [http, admin, xds, ready, monitoring, control] =
        start.ports([8090, 15000, 15010, 15080, 15014, 9876])?;
    let local = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    crds::install(start.lab, &[Crds::Istio, Crds::GatewayApi])?;
    start.apply("istio/gateway.yaml", &[("@HTTP@", http.to_string())])?;
    let mesh = json!({
        // It asks for an SDS cluster that only Istio's agent makes.
        "enableAutoMtls": false,
        "enablePrometheusMerge": false,
        "accessLogFile": access_log(start.lab, Router::Istio),
        "accessLogEncoding": "JSON",
    });
    start.write("mesh.yaml", &mesh.to_string())?;
    let mut istiod = start.program("pilot-discovery")?;
    istiod
        .args(["discovery", "--meshConfig=mesh.yaml"])
        .arg(format!("--kubeconfig={}", start.lab.kubeconfig.display()))
        .arg(format!("--httpAddr={}", local(ready)))
        .arg(format!("--grpcAddr={}", local(xds)))
        .arg(format!("--monitoringAddr={}", local(monitoring)))
        .arg(format!("--ctrlz_port={control}"))
        .args(["--secureGRPCAddr=", "--httpsAddr="])
        .envs([
            ("POD_NAMESPACE", "istio-system"),
            ("POD_NAME", "istiod"),
            ("CLUSTER_ID", "Kubernetes"),
            ("PILOT_ENABLE_ALPN_FILTER", "false"),
            ("PILOT_ENABLE_METADATA_EXCHANGE", "false"),
            ("PILOT_DISABLE_MX_ALPN", "true"),
            // It would make a Deployment of an image that no lab has for each Gateway of its class.
            ("PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER", "false"),
        ]);
    start.start("istiod", istiod)?;
    let words = [
        ("@ADDRESS@", start.lab.address.to_string()),
        ("@ADMIN@", admin.to_string()),
        ("@XDS@", xds.to_string()),
    ];
    start.write("envoy.yaml", &template("istio/envoy.yaml", &words)?)?;
    start.until_ok("istiod", local(ready), "/ready")?;
    let envoy = start.envoy("envoy.yaml")?;
    start.start("istio-envoy", envoy)?;
    start.until_ok("Istio's Envoy", local(admin), "/ready")?;
    let http = SocketAddrV4::new(start.lab.address, http);
    Ok(start.running(Router::Istio, http, local(admin)))
}
