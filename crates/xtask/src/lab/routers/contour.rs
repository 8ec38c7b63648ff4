//! Contour and its Envoy.

use std::net::{Ipv4Addr, SocketAddrV4};

use serde_json::json;

use super::crds::{self, Crds};
use super::{Router, Running, Start, access_log};
use crate::{Error, Result};

/// Contour's Envoy listens that far above the port of a Gateway's listener
/// (projectcontour/contour internal/gatewayapi/listeners.go, `toContainerPort`).
const OFFSET: u16 = 8000;

/// The Gateway that it serves, and no other: Contour as upstream's static manifests run it.
const NAMESPACE: &str = "projectcontour";
const GATEWAY: &str = "contour";

pub(super) fn start(start: &mut Start<'_>) -> Result<Running> {
    let [http, admin, xds, health, stats, debug] =
        start.ports([8080, 9001, 8001, 8000, 8002, 6060])?;
    let local = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    let listener = http.checked_sub(OFFSET).filter(|port| *port > 0);
    let listener = listener.ok_or_else(|| {
        Error::Failed(format!(
            "no Gateway has a listener that is at {http} in Envoy"
        ))
    })?;
    crds::install(start.lab, &[Crds::Contour, Crds::GatewayApi])?;
    start.apply(
        "contour/gateway.yaml",
        &[("@LISTENER@", listener.to_string())],
    )?;
    let config = json!({
        "gateway": {"gatewayRef": {"namespace": NAMESPACE, "name": GATEWAY}},
        "network": {"admin-port": admin},
        "accesslog-format": "json",
    });
    start.write("contour.yaml", &config.to_string())?;
    let mut bootstrap = start.program("contour")?;
    let made = bootstrap
        .args(["bootstrap", "envoy.json", "--namespace", NAMESPACE])
        // Below its working directory: a socket's path may have 107 bytes.
        .args(["--admin-address=admin.sock", "--xds-address=127.0.0.1"])
        .arg(format!("--xds-port={xds}"))
        .output()
        .map_err(Error::io("starting contour bootstrap"))?;
    if !made.status.success() {
        return Err(Error::Failed(format!(
            "contour bootstrap failed: {}",
            String::from_utf8_lossy(&made.stderr).trim()
        )));
    }
    let mut contour = start.program("contour")?;
    contour
        .args([
            "serve",
            "--config-path=contour.yaml",
            "--disable-leader-election",
        ])
        .arg(format!("--kubeconfig={}", start.lab.kubeconfig.display()))
        // Its Envoy is on this machine.
        .args(["--insecure", "--xds-address=127.0.0.1"])
        .arg(format!("--xds-port={xds}"))
        .args(["--http-address=127.0.0.1", "--health-address=127.0.0.1"])
        .arg(format!("--http-port={health}"))
        .arg(format!("--health-port={health}"))
        .args([
            "--stats-address=127.0.0.1",
            "--debug-http-address=127.0.0.1",
        ])
        .arg(format!("--stats-port={stats}"))
        .arg(format!("--debug-http-port={debug}"))
        .arg(format!("--ingress-status-address={}", start.lab.address))
        .arg(format!(
            "--envoy-http-access-log={}",
            access_log(start.lab, Router::Contour).display()
        ))
        // It asks for versions of these that Gateway API has no more, and exits without them.
        .args(["--disable-feature=tlsroutes", "--disable-feature=tcproutes"])
        .arg("--disable-feature=backendtlspolicies");
    start.start("contour", contour)?;
    start.until_ok("Contour", local(health), "/healthz")?;
    let mut envoy = start.envoy("envoy.json")?;
    envoy.args(["--service-cluster", NAMESPACE, "--service-node", "lab"]);
    start.start("contour-envoy", envoy)?;
    start.until_ok("Contour's Envoy", local(stats), "/ready")?;
    let http = SocketAddrV4::new(start.lab.address, http);
    Ok(start.running(Router::Contour, http, local(admin)))
}
