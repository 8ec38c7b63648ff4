//! What happens on a real node: kubelet, containers, NGINX, llama-server. Each effect of the webhook
//! has a control without it. `cargo xtask test` runs these in a lab of level `l3`, one at a time.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod canary;
mod canary_left;
mod drain;
mod drill;
mod ejection;
mod exercise;
mod flawed;
mod gpu;
mod interrupted;
mod logs_and_exec;
mod plugin;
mod readiness;
mod refusals;
mod rollout;
mod routers;
mod scaffold;
mod split;
mod streams;
mod timers;
