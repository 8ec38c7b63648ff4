//! The lab's NGINX: a real NGINX, and the small program that configures it from a cluster.
//!
//! `stored Ingresses, Services, EndpointSlices -> render (pure) -> nginx -t -> reload -> status`;
//! forward only. [`render::render`] decides everything that can be decided without NGINX;
//! [`forms::Forms`] keeps what NGINX refused apart from what it runs.
//!
//! # What this proves, and what it does not
//!
//! An annotation `nginx.ingress.kubernetes.io/NAME` is copied **verbatim** into the directive of
//! that name. So what NGINX does with a directive and its value is run. What ingress-nginx makes of
//! an annotation is not: its parsing, its fallbacks and its unit (`proxy-read-timeout: "3600s"` is
//! 60 s there and an hour here) stay read in its source. To keep that honest this crate depends on
//! no other crate of the workspace, and an annotation that it does not know stops its Ingress.
//!
//! Defaults, log line and proxy headers are ingress-nginx's (controller v1.15.1,
//! `internal/ingress/controller/config/config.go` and `rootfs/etc/nginx/template/nginx.tmpl`).
//!
//! # Where it differs from ingress-nginx
//!
//! - ingress-nginx changes endpoints through Lua, without a reload (`rootfs/etc/nginx/lua/balancer.lua`).
//!   Here NGINX is reloaded. Workers that serve something go on with it for up to
//!   `worker_shutdown_timeout`; idle kept connections are closed, and round robin starts anew at the
//!   first endpoint.
//! - NGINX tries each endpoint at most once for a request. ingress-nginx asks its Lua balancer again
//!   (`ngx_balancer.set_more_tries(1)`), so that with fewer endpoints than `proxy_next_upstream_tries`
//!   an endpoint can be tried twice.
//! - It gathers changes for 100 ms; ingress-nginx syncs at most every 3.3 s (`pkg/flags/flags.go`,
//!   `--sync-rate-limit` 0.3).
//! - A canary's share is drawn by `split_clients` and known to hundredths of a percent ([`canary`]);
//!   a change of it is a reload.
//! - One worker, HTTP only: an Ingress with `spec.tls` is refused, not served without TLS.

pub mod annotation;
pub mod canary;
mod cluster;
pub mod endpoints;
mod error;
pub mod forms;
pub mod name;
mod nginx;
pub mod observed;
pub mod options;
pub mod refusal;
pub mod render;
mod report;
pub mod route;
mod run;
pub mod status;
mod text;

pub use error::Error;
pub use run::run;
