//! Which of two Ingresses for one host and path wins. The API does not say; some controllers do.

/// Controllers that say that the older Ingress wins, each with where it says so.
const OLDEST_WINS: [(&str, &str); 2] = [
    (
        "ingress-nginx",
        "kubernetes/ingress-nginx docs/how-it-works.md",
    ),
    (
        "f5-nginx-ingress",
        "nginx/kubernetes-ingress, handling host and listener collisions",
    ),
];

/// Whether this controller lets the older Ingress win.
pub(crate) fn oldest_wins(controller: &str) -> bool {
    OLDEST_WINS.iter().any(|(name, _)| *name == controller)
}
