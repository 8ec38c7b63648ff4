//! Real routers in the lab, for tests that ask for one: Istio's and Contour's control planes, each
//! with a real Envoy. `xtask::lab::routers` says what each of them serves.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::process::{Command, Output};

use serde_json::{Value, json};
pub use xtask::lab::routers::{Router, Running};
use xtask::lab::session::Lab;
use xtask::lab::{Level, http, routers};
use xtask::{Error, workspace};

/// A router that runs in the lab of this test.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The lab.
    pub lab: Lab,
    running: Running,
}

impl Deref for Asked {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

/// The router, started where it does not run yet, in a lab of level `l1` or `l3`. `None`, said
/// aloud, outside of such a lab, and where a part of the router is missing.
///
/// # Panics
///
/// When it does not start; where `INFER_LAB_REQUIRE` names the level, also when a part is missing.
#[must_use]
#[expect(clippy::print_stderr, reason = "a skip is said aloud")]
pub fn asked(router: Router) -> Option<Asked> {
    let lab = Lab::current().filter(|lab| lab.level != Level::T.name());
    let Some(lab) = lab else {
        eprintln!(
            "skipped: needs {} in a lab; run `cargo xtask test`",
            router.name()
        );
        return None;
    };
    let running = had(&lab, router.name(), routers::start(&lab, router))?;
    Some(Asked { lab, running })
}

/// What was asked for, or a skip where a part of the lab is missing.
#[expect(clippy::print_stderr, reason = "a skip is said aloud")]
pub(crate) fn had<T>(lab: &Lab, what: &str, result: xtask::Result<T>) -> Option<T> {
    match result {
        Ok(got) => Some(got),
        Err(Error::PartMissing(why)) => {
            let required = [Level::L1, Level::L3]
                .into_iter()
                .any(|level| level.name() == lab.level && workspace::requires(level));
            assert!(
                !required,
                "the lab has not {what}: {why}\n(INFER_LAB_REQUIRE makes this an error.)"
            );
            eprintln!("skipped: the lab has not {what}: {why}");
            None
        }
        Err(error) => panic!("the lab has not {what}: {error}"),
    }
}

impl Asked {
    /// Runs real curl against a path of a host through the router. `arguments` come first and should
    /// bound the time (`-m`).
    ///
    /// # Panics
    ///
    /// When there is no curl.
    #[must_use]
    pub fn curl(&self, arguments: &[&str], host: &str, path: &str) -> Output {
        Command::new("curl")
            .args(arguments)
            .args(self.curl_target(host, path))
            .output()
            .expect("curl runs")
    }

    /// The arguments that lead curl to a path of a host through the router.
    #[must_use]
    pub fn curl_target(&self, host: &str, path: &str) -> [String; 3] {
        [
            "--connect-to".into(),
            format!("::{}", self.http),
            format!("http://{host}{path}"),
        ]
    }

    /// The status and body of a GET, within 20 s; status 0 where nothing answered.
    #[must_use]
    pub fn get(&self, host: &str, path: &str) -> (u16, String) {
        answer(&self.curl(&ANSWER, host, path))
    }

    /// The status and body of a chat completion of so many tokens, within 20 s; status 0 and curl's
    /// words where nothing answered.
    #[must_use]
    pub fn complete(&self, host: &str, tokens: u32) -> (u16, Value) {
        let body = json!({
            "messages": [{"role": "user", "content": "Tell me a story."}],
            "max_tokens": tokens,
        })
        .to_string();
        let post = ["-H", "Content-Type: application/json", "--data", &body];
        let arguments = [&ANSWER, &post[..]].concat();
        let (status, text) = answer(&self.curl(&arguments, host, "/v1/chat/completions"));
        let said = serde_json::from_str(&text).unwrap_or(Value::String(text));
        (status, said)
    }

    /// What its Envoy's admin interface answers.
    ///
    /// # Panics
    ///
    /// When it does not answer 200.
    #[must_use]
    pub fn admin(&self, path: &str) -> String {
        match http::get(self.admin, path) {
            Ok((200, body)) => body,
            other => panic!("http://{}{path}: {other:?}", self.admin),
        }
    }

    /// Envoy's clusters and their endpoints, one fact a line, `CLUSTER::ENDPOINT::FACT::VALUE`.
    #[must_use]
    pub fn clusters(&self) -> String {
        self.admin("/clusters")
    }

    /// Envoy's counters and gauges whose name matches this regular expression (RE2).
    #[must_use]
    pub fn stats(&self, filter: &str) -> BTreeMap<String, u64> {
        // In a query these two would mean something else.
        let filter = filter.replace('|', "%7C").replace('+', "%2B");
        self.admin(&format!("/stats?filter={filter}"))
            .lines()
            .filter_map(|line| line.rsplit_once(": "))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect()
    }
}

/// A body, then its status on a line of its own.
const ANSWER: [&str; 5] = ["-sS", "-m", "20", "-w", "\n%{http_code}"];

fn answer(output: &Output) -> (u16, String) {
    let said = String::from_utf8_lossy(&output.stdout);
    let (body, status) = said.rsplit_once('\n').unwrap_or(("", &said));
    let status = status.trim().parse().unwrap_or(0);
    let complained = String::from_utf8_lossy(&output.stderr);
    let body = if status == 0 { &complained } else { body };
    (status, body.to_owned())
}
