//! Sets up `lo` in a fresh network namespace: up, and with the lab's address. Speaks rtnetlink
//! itself, because a minimal Debian has no `ip` program.

use std::net::Ipv4Addr;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::{Error, Result};

/// `lo` is always the first interface of a namespace.
const LO: i32 = 1;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_CREATE: u16 = 0x400;
const IFF_UP: u32 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const AF_INET: u8 = 2;

/// `ip link set lo up; ip addr add ADDRESS/32 dev lo`, in the network namespace of this process.
///
/// # Errors
///
/// When the kernel refuses, which it does outside of a namespace of ours.
pub fn set_up(address: Ipv4Addr) -> Result<()> {
    up()?;
    request(
        &format!("adding {address} to lo"),
        RTM_NEWADDR,
        NLM_F_CREATE,
        &add(address),
    )
}

/// `ip link set lo up`, in the network namespace of this process.
///
/// # Errors
///
/// As [`set_up`].
pub fn up() -> Result<()> {
    request("setting lo up", RTM_NEWLINK, 0, &link_up())
}

/// `struct ifinfomsg`: family, padding, device type, index, flags, and which flags change.
fn link_up() -> Vec<u8> {
    let mut body = vec![0, 0, 0, 0];
    body.extend(LO.to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes());
    body
}

/// `struct ifaddrmsg` (family, prefix length, flags, scope, index) and two attributes.
fn add(address: Ipv4Addr) -> Vec<u8> {
    let mut body = vec![AF_INET, 32, 0, 0];
    body.extend(LO.to_ne_bytes());
    for attribute in [IFA_LOCAL, IFA_ADDRESS] {
        body.extend(8_u16.to_ne_bytes());
        body.extend(attribute.to_ne_bytes());
        body.extend(address.octets());
    }
    body
}

fn request(doing: &str, kind: u16, flags: u16, body: &[u8]) -> Result<()> {
    let failed = || Error::os(format!("{doing} in the lab's network namespace"));
    let length = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
    let mut message = Vec::with_capacity(16 + body.len());
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);

    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        // NETLINK_ROUTE is protocol 0.
        None,
    )
    .map_err(failed())?;
    let kernel = SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(&socket, &message, SendFlags::empty(), &kernel).map_err(failed())?;
    let mut answer = [0; 1024];
    let (read, _) = rustix::net::recv(&socket, &mut answer, RecvFlags::empty()).map_err(failed())?;
    // struct nlmsghdr (16 bytes; the type is at 4), then for NLMSG_ERROR the negative error number,
    // 0 for success.
    let kind = answer
        .get(4..6)
        .map(|bytes| u16::from_ne_bytes([bytes[0], bytes[1]]));
    let code = answer.get(16..20).map_or(-1, |bytes| {
        i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    });
    if read >= 20 && kind == Some(NLMSG_ERROR) && code == 0 {
        return Ok(());
    }
    Err(failed()(rustix::io::Errno::from_raw_os_error(-code)))
}
