//! The closed list of rules. A rule is one file and one page here, one line in each list below.

mod annotation_not_a_string;
mod body_limit;
mod body_limit_huge;
mod dr_host_unknown;
mod drain_window_short;
mod gpu_limit_missing;
mod grace_too_short;
mod h2_to_http1_server;
mod host_undefined;
mod ingress_no_class;
mod injection_conflict;
mod injection_without_workload;
mod invalid_image_name;
mod labels_missing;
mod liveness_before_loaded;
mod loopback_bind;
mod model_missing;
mod no_delay_before_sigterm;
mod no_readiness_probe;
mod outlier_ejects_all;
mod outlier_never_ejects;
mod port_unnamed;
mod probe_timeout_short;
mod retry_replays_post;
mod route_not_on_path;
mod selector_missing;
mod send_timeout_default;
mod service_selects_nothing;
mod sidecar_drains_first;
mod subset_selects_nothing;
mod subset_undefined;
mod timeout_not_honoured;
mod timeout_too_short;
mod timeout_wrong_unit;
mod weights_do_not_add_up;

use crate::rule::Rule;

/// Every rule, by name.
pub static ALL: &[&Rule] = &[
    &annotation_not_a_string::RULE,
    &body_limit::RULE,
    &body_limit_huge::RULE,
    &dr_host_unknown::RULE,
    &drain_window_short::RULE,
    &gpu_limit_missing::RULE,
    &grace_too_short::RULE,
    &h2_to_http1_server::RULE,
    &host_undefined::RULE,
    &ingress_no_class::RULE,
    &injection_conflict::RULE,
    &injection_without_workload::RULE,
    &invalid_image_name::RULE,
    &labels_missing::RULE,
    &liveness_before_loaded::RULE,
    &loopback_bind::RULE,
    &model_missing::RULE,
    &no_delay_before_sigterm::RULE,
    &no_readiness_probe::RULE,
    &outlier_ejects_all::RULE,
    &outlier_never_ejects::RULE,
    &port_unnamed::RULE,
    &probe_timeout_short::RULE,
    &retry_replays_post::RULE,
    &route_not_on_path::RULE,
    &selector_missing::RULE,
    &send_timeout_default::RULE,
    &service_selects_nothing::RULE,
    &sidecar_drains_first::RULE,
    &subset_selects_nothing::RULE,
    &subset_undefined::RULE,
    &timeout_not_honoured::RULE,
    &timeout_too_short::RULE,
    &timeout_wrong_unit::RULE,
    &weights_do_not_add_up::RULE,
];

/// The rule of this name.
pub fn find(id: &str) -> Option<&'static Rule> {
    ALL.iter().find(|rule| rule.id == id).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_sorted_and_kebab_case() {
        let names: Vec<&str> = ALL.iter().map(|rule| rule.id).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(names, sorted);
        let kebab = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        assert!(names.iter().all(|name| name.bytes().all(kebab)));
    }

    #[test]
    fn what_a_rule_needs_it_reads() {
        for rule in ALL {
            assert!(
                rule.needs.iter().all(|kind| rule.reads.contains(kind)),
                "{}",
                rule.id
            );
        }
    }
}
