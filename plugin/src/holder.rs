//! Who holds a Lease, for a person who finds it.

/// This process, with the name of its run.
pub(crate) fn of(run: &str) -> String {
    let first = |names: [&str; 2]| {
        let set = names
            .into_iter()
            .filter_map(|name| std::env::var(name).ok());
        set.into_iter().find(|value| !value.is_empty())
    };
    let user = first(["USER", "USERNAME"]).unwrap_or_else(|| "somebody".to_owned());
    let host = first(["HOSTNAME", "COMPUTERNAME"])
        .or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok())
        .map_or_else(|| "somewhere".to_owned(), |host| host.trim().to_owned());
    format!(
        "kubectl-infer/{} ({run}) of {user}@{host}",
        env!("CARGO_PKG_VERSION")
    )
}
