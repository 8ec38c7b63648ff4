//! The API server's URL: whether a proxy is between, and what of it may be shown.

use std::net::IpAddr;

/// Whether the environment's proxy does not apply to this API server. Go, and with it kubectl,
/// never sends loopback through a proxy, and reads NO_PROXY for the server's name
/// (golang/net http/httpproxy `useProxy`). kube 5.0 compares NO_PROXY with the proxy's own name.
pub(crate) fn goes_without_proxy(url: &str) -> bool {
    let list = ["NO_PROXY", "no_proxy"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|it| !it.is_empty()));
    exempt(url, list.as_deref().unwrap_or_default())
}

fn exempt(url: &str, list: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
    .to_ascii_lowercase();
    let address = host.parse::<IpAddr>().ok();
    if host == "localhost" || address.is_some_and(|it| it.is_loopback()) {
        return true;
    }
    list.split(',').map(str::trim).any(|entry| {
        let entry = entry.to_ascii_lowercase();
        let name = entry.strip_prefix("*.").or(entry.strip_prefix('.'));
        match name {
            _ if entry.is_empty() => false,
            _ if entry == "*" => true,
            Some(suffix) => host.ends_with(&format!(".{suffix}")),
            None if address.is_some() => address.is_some_and(|it| contains(&entry, it)),
            None => host == entry || host.ends_with(&format!(".{entry}")),
        }
    })
}

/// A URL without user and password.
pub(crate) fn without_userinfo(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let host = authority.rsplit('@').next().unwrap_or_default();
    let path = if path == "/" { "" } else { path };
    format!("{scheme}{host}{path}")
}

/// Whether `network`, an address or `ADDRESS/BITS`, contains `address`.
fn contains(network: &str, address: IpAddr) -> bool {
    let (base, bits) = match network.split_once('/') {
        Some((base, bits)) => (base, bits.parse::<u32>().ok()),
        None => return network.parse() == Ok(address),
    };
    match (base.parse(), address, bits) {
        (Ok(IpAddr::V4(base)), IpAddr::V4(address), Some(bits @ 0..=32)) => {
            let differ = base.to_bits() ^ address.to_bits();
            differ.checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (Ok(IpAddr::V6(base)), IpAddr::V6(address), Some(bits @ 0..=128)) => {
            let differ = base.to_bits() ^ address.to_bits();
            differ.checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_no_proxy_are_reached_directly() {
        for (url, list, direct) in [
            ("https://127.0.0.1:6443/", "", true),
            ("https://[::1]:6443", "", true),
            ("http://localhost:8080", "", true),
            ("https://one.example:6443/", "", false),
            ("https://one.example:6443/", "two.example,example", true),
            ("https://one.example/", ".example", true),
            ("https://one.example/", "*.example", true),
            ("https://example/", ".example", false),
            ("https://notexample/", "example", false),
            ("https://10.1.2.3:6443", "10.1.0.0/16", true),
            ("https://10.2.2.3:6443", "10.1.0.0/16", false),
            ("https://10.2.2.3:6443", "10.2.2.3", true),
            ("https://one.example", "*", true),
        ] {
            assert_eq!(exempt(url, list), direct, "{url} {list}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        for (url, shown) in [
            ("https://u:p@host:6443/", "https://host:6443"),
            ("https://host/k8s/c-1", "https://host/k8s/c-1"),
            ("u:p@host", "host"),
        ] {
            assert_eq!(without_userinfo(url), shown);
        }
    }
}
