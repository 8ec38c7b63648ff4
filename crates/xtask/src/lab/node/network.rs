//! The node's network: an interface with the lab's address and a default route, without which
//! kubelet and kube-proxy complain; pods get theirs from the CNI bridge.

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use crate::{Error, Result};

/// Sets it up in this network namespace.
///
/// # Errors
///
/// When `ip` (Debian's iproute2) says no.
pub(super) fn set_up(address: Ipv4Addr) -> Result<()> {
    let network = format!("{address}/24");
    for line in [
        "link set lo up",
        "link add node0 type veth peer name node1",
        &format!("addr add {network} dev node0"),
        "link set node0 up",
        "link set node1 up",
        "route add default dev node0",
    ] {
        ip(line)?;
    }
    // 0 in a new namespace; it is this namespace's own.
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").map_err(Error::io("allowing forwarding"))
}

fn ip(line: &str) -> Result<()> {
    let output = Command::new("ip")
        .args(line.split(' '))
        .stdin(Stdio::null())
        .output()
        .map_err(Error::io("starting ip (Debian's iproute2)"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "ip {line} failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}
