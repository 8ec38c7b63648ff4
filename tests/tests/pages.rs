//! Each rule's page is its test: the rule speaks about what the page calls bad, is silent about what
//! it calls good, and its fix converges. What holds for all rules is tested over all pages.

use infer_core::Engine;
use infer_core::check::{check, diff, snapshot_of};
use infer_core::kind::{Kind, KindSet, pod_kind_of, stored_kind_of};
use infer_core::policy::{Action, RulePolicy};
use infer_core::review::review;
use infer_core::rule::{Check, Finding, Level, Rule};
use infer_core::rules::ALL;
use infer_core::snapshot::Reader;
use infer_core::written::Origin;
use infer_tests::{objects, root};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

const HEADINGS: [&str; 4] = ["Bad", "Good", "What admission does", "How to fix"];

type Objects = Vec<Arc<Value>>;

/// What stands under a heading of the second level.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page
        .split_once(&format!("\n## {heading}\n"))
        .unwrap_or_else(|| panic!("no `## {heading}` in {page}"));
    rest.split_once("\n## ").map_or(rest, |(text, _)| text)
}

/// The YAML blocks under a heading, each a case of its own.
fn blocks(rule: &Rule, heading: &str) -> Vec<Objects> {
    let fenced = section(rule.page, heading).split("```yaml\n").skip(1);
    let texts = fenced.map(|rest| rest.split_once("```").expect("a closed block").0);
    let blocks: Vec<Objects> = texts.map(objects).collect();
    assert!(!blocks.is_empty(), "{}: no yaml under {heading}", rule.id);
    blocks
}

/// Every block of every page.
fn every_block() -> Vec<(&'static Rule, Objects)> {
    let of = |rule: &'static Rule| {
        let both = ["Bad", "Good"].into_iter();
        both.flat_map(move |heading| blocks(rule, heading).into_iter().map(move |b| (rule, b)))
    };
    ALL.iter().copied().flat_map(of).collect()
}

fn findings(objects: &[Arc<Value>]) -> Vec<(usize, Finding)> {
    let checked = check(&Engine::builtin(), objects);
    let found = checked.findings.into_iter();
    found.map(|found| (found.object, found.finding)).collect()
}

/// Which rules speak, and about which object.
fn speaking(objects: &[Arc<Value>]) -> BTreeSet<(usize, &'static str)> {
    let found = findings(objects).into_iter();
    found
        .map(|(object, finding)| (object, finding.rule.id))
        .collect()
}

fn speaks(objects: &[Arc<Value>], rule: &Rule) -> bool {
    speaking(objects).iter().any(|(_, id)| *id == rule.id)
}

/// The objects with what admission would change in them.
fn fixed(objects: &[Arc<Value>]) -> (Objects, BTreeSet<usize>) {
    let mut after = objects.to_vec();
    let mut changed = BTreeSet::new();
    for one in diff(&Engine::builtin(), objects) {
        after[one.object] = Arc::new(one.after);
        changed.insert(one.object);
    }
    (after, changed)
}

#[test]
fn every_page_has_its_headings_in_order_and_fits_a_terminal() {
    for rule in ALL {
        let page = rule.page;
        assert_eq!(page.lines().next(), Some(&*format!("# {}", rule.id)));
        let seen: Vec<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix("## "))
            .collect();
        assert_eq!(seen, HEADINGS, "{}", rule.id);
        for heading in &HEADINGS[2..] {
            assert!(!section(page, heading).trim().is_empty(), "{}", rule.id);
        }
        let wide = page.lines().find(|line| line.chars().count() > 100);
        assert_eq!(wide, None, "{}: wider than 100 columns", rule.id);
        let lines = page.lines().count();
        assert!(lines <= 90, "{} has {lines} lines: too long", rule.id);
        assert!(!page.contains("/work/"), "{}: a private path", rule.id);
    }
}

#[test]
fn every_rule_speaks_about_its_bad_blocks_only() {
    for rule in ALL {
        for bad in blocks(rule, "Bad") {
            assert!(speaks(&bad, rule), "{} is silent about bad", rule.id);
        }
        for good in blocks(rule, "Good") {
            assert!(!speaks(&good, rule), "{} speaks about good", rule.id);
        }
    }
}

#[test]
fn no_other_rule_calls_a_good_workload_wrong() {
    for rule in ALL {
        for good in blocks(rule, "Good") {
            let wrong = findings(&good).into_iter().find(|(object, finding)| {
                // The servers behind the routes of a page are cut short on purpose.
                let is_shown = good[*object].get("kind") != Some(&Value::from("Pod"));
                is_shown && finding.rule.level > Level::Note
            });
            assert!(wrong.is_none(), "{}: {wrong:?}", rule.id);
        }
    }
}

#[test]
fn a_fix_silences_its_rule_and_no_fixable_rule_but_notes_is_left() {
    for rule in ALL {
        for bad in blocks(rule, "Bad") {
            let before = findings(&bad);
            let has_fix = |f: &Finding| f.rule.id == rule.id && !f.fix.is_empty();
            if !before.iter().any(|(_, finding)| has_fix(finding)) {
                continue;
            }
            let spoke = speaking(&bad);
            let (after, changed) = fixed(&bad);
            assert!(!speaks(&after, rule), "{} speaks when fixed", rule.id);
            for (object, finding) in findings(&after) {
                let id = finding.rule.id;
                let is_note = finding.rule.level == Level::Note;
                assert!(
                    is_note || spoke.contains(&(object, id)),
                    "{}: its fix makes {id} speak: {}",
                    rule.id,
                    finding.message
                );
                assert!(
                    !changed.contains(&object) || is_note || finding.fix.is_empty(),
                    "{}: {id} is left, and has a fix: {}",
                    rule.id,
                    finding.message
                );
            }
        }
    }
}

/// Whether `whole` says what `part` says, and perhaps more. A quantity may be a number or a text.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part
            .iter()
            .all(|(key, part)| whole.get(key).is_some_and(|whole| holds(whole, part))),
        (Value::String(whole), Value::Number(part)) => *whole == part.to_string(),
        (whole, part) => whole == part,
    }
}

#[test]
fn a_fix_makes_what_its_page_calls_good() {
    for rule in ALL {
        let good = &blocks(rule, "Good")[0];
        let bad = &blocks(rule, "Bad")[0];
        for one in diff(&Engine::builtin(), bad) {
            let own = one.changes.iter().filter(|f| f.rule.id == rule.id);
            for fixing in own {
                let change = &fixing.change;
                let wanted = good[one.object].pointer(&change.path);
                let is_good = wanted.is_some_and(|wanted| holds(&change.value, wanted));
                assert!(is_good, "{}: {change:?}, not {wanted:?}", rule.id);
            }
        }
    }
}

#[test]
fn a_second_diff_changes_nothing() {
    for (rule, objects) in every_block() {
        let (after, _) = fixed(&objects);
        let again = diff(&Engine::builtin(), &after);
        assert!(again.is_empty(), "{}: {again:?}", rule.id);
    }
}

#[test]
fn a_page_says_whether_admission_does_anything() {
    for rule in ALL {
        let mut found = blocks(rule, "Bad").into_iter().flat_map(|b| findings(&b));
        let has_fix = found.any(|(_, f)| f.rule.id == rule.id && !f.fix.is_empty());
        let said = section(rule.page, "What admission does").trim_start();
        let says_nothing = said.starts_with("Nothing");
        assert_eq!(says_nothing, !has_fix, "{}: {said}", rule.id);
    }
}

#[test]
fn no_file_of_a_rule_is_forgotten() {
    let folder = root().join("crates/infer-core/src/rules");
    let stems = |extension: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(&folder).unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == extension))
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect()
    };
    let listed: BTreeSet<String> = ALL.iter().map(|rule| rule.id.replace('-', "_")).collect();
    assert_eq!(
        stems("rs"),
        listed,
        "rules/*.rs, and ALL in crates/infer-core/src/rules.rs"
    );
    assert_eq!(stems("md"), listed, "rules/*.md, and the rules");
}

/// An engine in which only `active` runs.
fn engine_of(active: Option<&Rule>) -> Engine {
    let mut engine = Engine::builtin();
    for rule in ALL.iter().copied() {
        if Some(rule.id) != active.map(|active| active.id) {
            let off = RulePolicy {
                action: Some(Action::Off),
                fix: true,
            };
            engine.policy.set(rule, off);
        }
    }
    engine
}

/// The kinds that each object's review asks for.
fn asked(engine: &Engine, objects: &[Arc<Value>]) -> Vec<KindSet> {
    let snapshot = snapshot_of(objects);
    let asked = |subject: &Arc<Value>| {
        let reader = Reader::new(&snapshot);
        review(engine, &reader, subject, Origin::Manifest, &[]);
        reader.asked()
    };
    objects.iter().map(asked).collect()
}

/// What the way to a rule's subject takes: the engine asks for it before any rule runs. A rule about
/// the objects as such looks at no way.
fn is_on_the_way(rule: &Rule, subject: &Value) -> bool {
    let stored = stored_kind_of(subject);
    rule.checks.iter().any(|check| match check {
        Check::Workload(_) => pod_kind_of(subject).is_some(),
        Check::Route(_) | Check::Controller(_) => stored == Some(Kind::Ingress),
        Check::Service(_) => stored == Some(Kind::Service),
        Check::HttpRoute(_) | Check::HttpRouteController(_) => stored == Some(Kind::HttpRoute),
        Check::VirtualService(_) => stored == Some(Kind::VirtualService),
        Check::DestinationRule(_) => stored == Some(Kind::DestinationRule),
        Check::Object(_) | Check::Namespace(_) => false,
    })
}

#[test]
fn a_rule_reads_what_it_says_and_nothing_else() {
    let idle = engine_of(None);
    let all = every_block().into_iter().map(|(_, objects)| {
        let ways = asked(&idle, &objects);
        (objects, ways)
    });
    let all: Vec<(Objects, Vec<KindSet>)> = all.collect();
    for rule in ALL {
        let engine = engine_of(Some(rule));
        let mut reads = KindSet::NONE;
        for (objects, ways) in &all {
            let own = asked(&engine, objects);
            for ((subject, way), own) in objects.iter().zip(ways).zip(own) {
                reads = reads.union(own.without(*way));
                if is_on_the_way(rule, subject) {
                    reads = reads.union(*way);
                }
            }
        }
        let named = |set: KindSet| set.iter().collect::<Vec<Kind>>();
        assert_eq!(named(reads), named(rule.reads()), "`reads` of {}", rule.id);
    }
}

/// Names that begin with a capital letter wherever they stand.
const NAMES: [&str; 8] = [
    "GPU", "HTTP", "Ingress", "NGINX", "Service", "Node", "F5", "TLS",
];

/// The other forms of some messages, which no page needs to show.
const OTHER_FORMS: &str = r#"
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: shared-class-name},
  spec: {ingressClassName: nginx, defaultBackend: {service: {name: llama}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: rejected
  annotations: {nginx.org/proxy-read-timeout: ten minutes, nginx.org/client-max-body-size: 2m}
spec: {defaultBackend: {service: {name: llama}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: short
  annotations:
    nginx.ingress.kubernetes.io/proxy-read-timeout: "30"
    nginx.ingress.kubernetes.io/proxy-send-timeout: soon
    nginx.ingress.kubernetes.io/proxy-body-size: "0"
spec: {defaultBackend: {service: {name: llama}}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: nobody-s},
  spec: {defaultBackend: {service: {name: llama}}}}
---
{apiVersion: v1, kind: Service, metadata: {name: llama}, spec: {selector: {app: llama}}}
---
{apiVersion: v1, kind: Service, metadata: {name: far, namespace: other}, spec: {selector: {app: x}}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: edge}, spec: {servers: []}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: odd, namespace: own},
  spec: {hosts: [m.example], gateways: [nowhere, edge], http: [
    {route: [{destination: {host: llama}}, {destination: {host: far, subset: a}}]},
    {route: [{destination: {host: llama}, weight: 5}, {destination: {host: gone}}]}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: odd, namespace: own},
  spec: {rules: [{backendRefs: [{name: llama}, {name: far}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: one}, spec: {
  host: llama, subsets: [{name: v2, labels: {app: llama}}, {name: v3, labels: {app: other}}],
  trafficPolicy: {outlierDetection: {maxEjectionPercent: 100},
    portLevelSettings: [{port: {number: 80}, outlierDetection: {maxEjectionPercent: 100}}]}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: llama, annotations: {kubectl-infer.dev/drain-window: 1h, a: true, b: [c]}}
spec:
  selector: {matchLabels: {app: llama}}
  template:
    metadata:
      labels: {app: llama, sidecar.istio.io/inject: "true"}
      annotations: {proxy.istio.io/config: "{}"}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
        - name: server
          image: Vllm/vllm-openai-x
          args: [--model=a/b, -tp, "2", --distributed-executor-backend=ray]
          livenessProbe: {httpGet: {path: /health, port: 8000}, timeoutSeconds: 3}
        - {name: second, image: "ghcr.io/ggml-org/llama.cpp:server-cuda",
            lifecycle: {preStop: {sleep: {seconds: 9999}}}}
"#;

#[test]
fn findings_speak_the_house_s_language() {
    let mut seen = BTreeSet::new();
    let blocks = every_block().into_iter().map(|(_, objects)| objects);
    for objects in blocks.chain([objects(OTHER_FORMS)]) {
        for (_, finding) in findings(&objects) {
            let (id, text) = (finding.rule.id, &finding.message);
            let starts_well = text.starts_with(|c: char| c.is_lowercase() || c.is_ascii_digit())
                || text.starts_with('`')
                || NAMES.iter().any(|name| text.starts_with(name));
            assert!(starts_well, "{id}: begins with a capital letter: {text}");
            for line in [text]
                .into_iter()
                .chain(&finding.notes)
                .chain(&finding.help)
            {
                assert!(!line.ends_with('.'), "{id}: ends with a stop: {line}");
                assert!(!line.contains('\n'), "{id}: more than a line: {line}");
                let lower = line.to_lowercase();
                for word in ["please", "invalid ", "must be"] {
                    assert!(!lower.contains(word), "{id}: says `{word}`: {line}");
                }
            }
            let length = format!("{id}: {text}").chars().count();
            assert!(length <= 120, "{id}: {length} characters: {text}");
            assert!(!text.contains(id), "{id}: names itself: {text}");
            assert!(!finding.help.is_empty(), "{id}: no way out: {text}");
            for change in &finding.fix {
                let reason = &change.reason;
                assert!(!reason.is_empty(), "{id}: no reason at {}", change.path);
                assert!(!reason.ends_with('.'), "{id}: ends with a stop: {reason}");
            }
            seen.insert(id);
        }
    }
    assert_eq!(seen.len(), ALL.len(), "every rule is heard");
    for rule in ALL {
        let summary = rule.summary;
        assert!(!summary.ends_with('.') && !summary.is_empty(), "{summary}");
    }
}
