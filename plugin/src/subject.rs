//! What a person points at: `ingress/NAME`, `ingress NAME`, or a URL.

use crate::print::text::shell;
use crate::problem::Problem;

/// What is tested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// An Ingress of this name.
    Ingress(String),
    /// A URL, for which no cluster is asked.
    Url(String),
}

/// What kubectl calls an Ingress (kubernetes/kubernetes, `kubectl api-resources`).
const INGRESS: [&str; 3] = ["ingress", "ingresses", "ing"];

/// A route that `test` takes from its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// An Ingress of this name.
    Ingress(String),
    /// An HTTPRoute of Gateway API.
    HttpRoute(String),
    /// A VirtualService of Istio's.
    VirtualService(String),
}

/// What `test` takes: a route of any kind, or a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// A route.
    Entry(Entry),
    /// A URL, for which no cluster is asked.
    Url(String),
}

/// What kubectl calls them, by the CRDs of Gateway API and of Istio.
const HTTP_ROUTE: [&str; 2] = ["httproute", "httproutes"];
const VIRTUAL_SERVICE: [&str; 3] = ["virtualservice", "virtualservices", "vs"];

impl Aim {
    /// Reads the words of the command line, as [`Subject::parse`] does.
    ///
    /// # Errors
    ///
    /// Other words, with what was perhaps meant.
    pub(crate) fn parse(words: &[String], program: &str, command: &str) -> Result<Aim, Problem> {
        let named = match words {
            [word] if !is_url(word) => word.split_once('/'),
            [kind, name] => Some((kind.as_str(), name.as_str())),
            _ => None,
        };
        if let Some((kind, name)) = named
            && !name.is_empty()
            && !name.contains('/')
        {
            let lower = kind.to_ascii_lowercase();
            let (plain, group) = lower.split_once('.').unwrap_or((&lower, ""));
            let is = |names: &[&str], of: &str| {
                let group = group.trim_start_matches("v1.");
                names.contains(&plain) && (group.is_empty() || group == of)
            };
            if is(&HTTP_ROUTE, "gateway.networking.k8s.io") {
                return Ok(Aim::Entry(Entry::HttpRoute(name.to_owned())));
            }
            if is(&VIRTUAL_SERVICE, "networking.istio.io") {
                return Ok(Aim::Entry(Entry::VirtualService(name.to_owned())));
            }
        }
        Ok(match Subject::parse(words, program, command)? {
            Subject::Ingress(name) => Aim::Entry(Entry::Ingress(name)),
            Subject::Url(url) => Aim::Url(url),
        })
    }
}

impl Subject {
    /// Reads the words of the command line.
    ///
    /// # Errors
    ///
    /// Other words, with what was perhaps meant. `program` is what a person types to run us,
    /// `command` the name of the command.
    pub(crate) fn parse(
        words: &[String],
        program: &str,
        command: &str,
    ) -> Result<Subject, Problem> {
        let (kind, name) = match words {
            [word] if is_url(word) => return Ok(Subject::Url(word.clone())),
            [word] => match word.split_once('/') {
                Some((kind, name)) => (kind, name),
                None => return Err(nothing_of(word, program, command)),
            },
            [kind, name] => (kind.as_str(), name.as_str()),
            _ => {
                let problem = Problem::new("one Ingress or one URL is wanted");
                return Err(problem.help(format!("`{program} {command} ingress/NAME`")));
            }
        };
        let lower = kind.to_ascii_lowercase();
        // `ingress.networking.k8s.io`, `ingresses.v1.networking.k8s.io`: kubectl takes both.
        let (plain, group) = lower.split_once('.').unwrap_or((&lower, ""));
        let is_ingress = INGRESS.contains(&plain)
            && matches!(group, "" | "networking.k8s.io" | "v1.networking.k8s.io");
        if !is_ingress {
            return Err(other_kind(kind, name, program, command));
        }
        if name.is_empty() || name.contains('/') {
            let given = words.join(" ");
            let problem = Problem::new(format!("`{given}` names no Ingress"));
            return Err(problem.help(format!("`{program} {command} ingress/NAME -n NAMESPACE`")));
        }
        Ok(Subject::Ingress(name.to_owned()))
    }
}

fn is_url(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    lower.starts_with("http://") || lower.starts_with("https://")
}

fn nothing_of(word: &str, program: &str, command: &str) -> Problem {
    let word = shell(word);
    Problem::new(format!("`{word}` is neither TYPE/NAME nor a URL")).help(format!(
        "`{program} {command} ingress/{word}` or `{program} {command} http://{word}`"
    ))
}

/// Kinds that are no way in, each with why and with what is.
fn other_kind(kind: &str, name: &str, program: &str, command: &str) -> Problem {
    let asked = format!("`{}/{}`", shell(kind), shell(name));
    let lower = kind.to_ascii_lowercase();
    let plain = lower.split('.').next().unwrap_or_default();
    match plain {
        "service" | "services" | "svc" => Problem::new(format!(
            "{asked} is inside the cluster: a port-forward to a Service ends at one pod and dies \
             with it, so it tells nothing about the route"
        ))
        .help(format!(
            "test the Ingress in front of it: `kubectl get ingress`, then `{program} {command} \
             ingress/NAME`; from inside the cluster a URL does: `{program} {command} \
             http://SERVICE.NAMESPACE:PORT`"
        )),
        "pod" | "pods" | "po" | "deployment" | "deployments" | "deploy" | "statefulset"
        | "statefulsets" | "sts" => Problem::new(format!(
            "{asked} is where a route ends; `{command}` takes the route from its beginning"
        ))
        .help(format!(
            "`kubectl get ingress` lists the ways in: `{program} {command} ingress/NAME`"
        )),
        "gateway" | "gateways" if command == "test" => Problem::new(format!(
            "{asked} is in front of routes, and a request takes one of them"
        ))
        .help(format!(
            "`{program} {command} httproute/NAME` or `virtualservice/NAME`"
        )),
        "gateway" | "gateways" | "httproute" | "httproutes" | "virtualservice"
        | "virtualservices" => Problem::new(format!(
            "{asked}: this kind of route is not read yet, only Ingress is"
        ))
        .help(format!(
            "its address can be tested all the same: `{program} {command} http://HOST/ --resolve \
             HOST:80:ADDRESS`"
        )),
        _ => Problem::new(format!("{asked}: an Ingress is wanted"))
            .help(format!("`{program} {command} ingress/NAME`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Subject, Problem> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        Subject::parse(&words, "kubectl infer", "test")
    }

    #[test]
    fn an_ingress_is_named_as_kubectl_names_it() {
        for line in [
            "ingress/a",
            "ingress a",
            "ing/a",
            "ingresses a",
            "Ingress/a",
            "ingress.networking.k8s.io/a",
            "ingresses.v1.networking.k8s.io a",
        ] {
            let subject = parse(line).unwrap_or_else(|problem| panic!("{line}: {problem:?}"));
            assert_eq!(subject, Subject::Ingress("a".to_owned()), "{line}");
        }
        let url = "http://127.0.0.1:8080/v1/models";
        assert_eq!(parse(url).unwrap(), Subject::Url(url.to_owned()));
    }

    #[test]
    fn a_test_takes_routes_of_other_kinds() {
        let aim = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            Aim::parse(&words, "kubectl infer", "test")
        };
        let name = || "a".to_owned();
        for (line, wanted) in [
            ("httproute/a", Entry::HttpRoute(name())),
            (
                "httproutes.gateway.networking.k8s.io a",
                Entry::HttpRoute(name()),
            ),
            ("VirtualService/a", Entry::VirtualService(name())),
            ("vs a", Entry::VirtualService(name())),
            ("ing/a", Entry::Ingress(name())),
        ] {
            assert_eq!(aim(line).unwrap(), Aim::Entry(wanted), "{line}");
        }
        assert_eq!(aim("http://a/").unwrap(), Aim::Url("http://a/".to_owned()));
        assert!(aim("httproute.example.com/a").is_err() && aim("httproute/").is_err());
        // A drill takes none of them.
        let words = ["httproute/a".to_owned()];
        assert!(Subject::parse(&words, "kubectl infer", "drill").is_err());
    }

    #[test]
    fn other_words_are_answered_with_the_way_out() {
        for (line, way_out) in [
            ("a", "`kubectl infer test ingress/a`"),
            ("ingress/", "ingress/NAME -n NAMESPACE"),
            ("ingress/a/b", "ingress/NAME -n NAMESPACE"),
            ("service/a", "test the Ingress in front of it"),
            ("pod/a", "`kubectl get ingress` lists the ways in"),
            ("gateway/a", "httproute/NAME"),
            ("ingress.example.com/a", "`kubectl infer test ingress/NAME`"),
            ("ftp://a/b", "ingress/NAME"),
            ("a b c", "ingress/NAME"),
        ] {
            let problem = parse(line).unwrap_err();
            let help = problem.help.unwrap_or_default();
            assert!(help.contains(way_out), "{line}: {help}");
        }
    }
}
