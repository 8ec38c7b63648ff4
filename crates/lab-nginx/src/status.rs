//! NGINX's second server, which says what NGINX runs.

use crate::render::Settings;
use crate::text::Text;
use std::net::SocketAddr;

/// Where it tells that a configuration is loaded.
pub const HEALTH_PATH: &str = "/healthz";
/// Where it tells which one: [`crate::render::Rendered::digest`].
pub(crate) const CONFIGURATION_PATH: &str = "/configuration";
/// Where it tells of the canaries that requests can go to: for each a line `MAIN CANARY SHARE`, the
/// upstreams by their names in the log, the share as `split_clients` takes it.
pub const SPLITS_PATH: &str = "/splits";

/// It comes last and is not part of the digest that it tells.
pub(crate) fn write_status(text: &mut Text, settings: &Settings, digest: &str, splits: &[String]) {
    let listen = SocketAddr::new(settings.listen, settings.status_port);
    text.block("server", |text| {
        text.directive(&format!("listen {listen}"));
        text.directive("access_log off");
        text.directive("keepalive_timeout 0");
        text.directive("default_type text/plain");
        text.block(&format!("location = {HEALTH_PATH}"), |text| {
            text.directive("return 200");
        });
        text.block(&format!("location = {CONFIGURATION_PATH}"), |text| {
            text.directive(&format!("return 200 {digest}"));
        });
        text.block(&format!("location = {SPLITS_PATH}"), |text| {
            // NGINX reads `\n` in quotes as the end of a line.
            let lines = splits.iter().map(|line| format!("{line}\\n"));
            text.directive(&format!("return 200 \"{}\"", String::from_iter(lines)));
        });
        text.block("location /", |text| text.directive("return 404"));
    });
}
