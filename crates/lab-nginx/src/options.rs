//! The command line.

use crate::render::Settings;
use clap::Parser;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

/// The lab's NGINX controller: configures a real NGINX from the Ingresses of one class.
#[derive(Clone, Debug, Parser)]
#[command(name = "lab-nginx", version)]
pub struct Options {
    /// Serve the Ingresses with this spec.ingressClassName
    #[arg(long, value_name = "NAME", default_value = "lab-nginx")]
    pub ingress_class: String,
    /// Write this address to the status of each Ingress that is served [default: none is written]
    #[arg(long, value_name = "IP")]
    pub publish_address: Option<IpAddr>,
    /// The nginx program
    #[arg(long, value_name = "FILE", default_value = "/usr/sbin/nginx")]
    pub nginx: PathBuf,
    /// Listen on this address
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub listen_address: IpAddr,
    /// Serve HTTP on this port
    #[arg(long, value_name = "PORT", default_value_t = 8080, value_parser = clap::value_parser!(u16).range(1..))]
    pub http_port: u16,
    /// Answer /healthz on this port once the first configuration is loaded
    #[arg(long, value_name = "PORT", default_value_t = 10254, value_parser = clap::value_parser!(u16).range(1..))]
    pub status_port: u16,
    /// Where nginx.conf and NGINX's temporary files go
    #[arg(long, value_name = "DIR", default_value = "/tmp/lab-nginx", value_parser = plain_path)]
    pub directory: PathBuf,
    /// Write a second access log, JSON lines, to this file
    #[arg(long, value_name = "FILE", value_parser = plain_path)]
    pub observer_log: Option<PathBuf>,
    /// Use this kubeconfig [default: the pod's service account]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

impl Options {
    /// What the text of the configuration depends on.
    pub fn settings(&self) -> Settings {
        // As root NGINX would run its workers as a user who may not exist in the lab's namespace.
        let is_root = rustix::process::geteuid().is_root();
        Settings {
            ingress_class: self.ingress_class.clone(),
            listen: self.listen_address,
            http_port: self.http_port,
            status_port: self.status_port,
            directory: self.directory.clone(),
            observer_log: self.observer_log.clone(),
            worker_user: is_root.then_some("root root"),
        }
    }
}

/// A path that can stand in `nginx.conf` without quotes.
fn plain_path(text: &str) -> Result<PathBuf, String> {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "/._-+@".contains(it);
    if !text.starts_with('/') {
        Err("it must be absolute: NGINX would look below its own directory".to_owned())
    } else if text.chars().all(is_plain) {
        Ok(PathBuf::from(text))
    } else {
        Err("only letters, digits and /._-+@ can stand in nginx.conf".to_owned())
    }
}
