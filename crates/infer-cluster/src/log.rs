//! What a container writes, line by line, stamped when the lines arrive.

use crate::call::Asked;
use crate::connection::Cluster;
use crate::feed::Feed;
use crate::objects::text;
use crate::request_error::RequestError;
use crate::what::What;
use futures::{AsyncBufRead, AsyncBufReadExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use std::collections::hash_map::DefaultHasher;
use std::collections::{HashSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc::Sender;

/// Longer lines are cut, in bytes.
const LONGEST_LINE: usize = 64 << 10;
/// So many lines are known again when a log is opened again: those of its last second.
const REMEMBERED: usize = 16 << 10;
/// The wait before a log that ended is opened again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// From when on lines are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// From the beginning of the container.
    Beginning,
    /// From so many seconds ago, by the node's clock.
    Seconds(u32),
    /// From this time on, by the node's clock.
    Time(SystemTime),
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it arrived here.
    pub at: Instant,
    /// When the runtime read it from the container, by the node's clock; none where it says
    /// nothing readable.
    pub written: Option<SystemTime>,
    /// The line, without its end. Bytes that are no UTF-8 are replaced.
    pub text: String,
    /// Whether its end is cut off: it has more than 64 KiB.
    pub is_cut: bool,
}

impl Cluster {
    /// Follows the log of a container while its pod lives. It is opened again when it ends: no line
    /// twice, and none lost unless the node has rotated it away. Needs a tokio runtime.
    ///
    /// An `Err` says that lines do not come in. The feed goes on after one that
    /// [is passing](RequestError::is_passing), and ends after another. It also ends with the pod.
    pub fn follow_log(
        &self,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
        since: Since,
    ) -> Feed<Result<LogLine, RequestError>> {
        let following = Following {
            cluster: self.clone(),
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            container: container.map(str::to_owned),
            since,
            uid: String::new(),
            last: None,
            told: Told::default(),
            is_interrupted: false,
        };
        Feed::start(|news| following.run(news))
    }
}

type News = Sender<Result<LogLine, RequestError>>;

struct Following {
    cluster: Cluster,
    namespace: String,
    pod: String,
    container: Option<String>,
    since: Since,
    /// The pod's uid: another of its name is another pod.
    uid: String,
    /// The latest time of a line that was told.
    last: Option<jiff::Timestamp>,
    /// What was told lately.
    told: Told,
    is_interrupted: bool,
}

/// Lines that were told lately, by time and text. Times alone do not do: a runtime stamps stdout
/// and stderr apart, so a line may be older than the one before it (seen in the lab with
/// containerd 2.3.7, while NGINX wrote to both).
#[derive(Debug, Default)]
struct Told {
    order: VecDeque<(jiff::Timestamp, u64)>,
    known: HashSet<(jiff::Timestamp, u64)>,
}

impl Told {
    /// Takes note of a line; false where it is known.
    fn note(&mut self, written: jiff::Timestamp, text: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let line = (written, hasher.finish());
        if !self.known.insert(line) {
            return false;
        }
        self.order.push_back(line);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

impl Following {
    async fn run(mut self, news: News) {
        let mut pause = FIRST_PAUSE;
        loop {
            let pod = self.lives().await;
            let lives = matches!(pod, Ok(true));
            let read = match pod {
                Ok(false) => return,
                Ok(true) => self.read(&news, &mut pause).await,
                Err(error) => Err(error),
            };
            match read {
                Ok(()) if news.is_closed() => return,
                Ok(()) => {}
                Err(error) => {
                    // Between two runs of a container the kubelet answers 400.
                    let waits = lives && matches!(error, RequestError::Other { .. });
                    let ends = !error.is_passing() && !waits;
                    let first = !std::mem::replace(&mut self.is_interrupted, true);
                    let heard = !(first || ends) || news.send(Err(error)).await.is_ok();
                    if ends || !heard {
                        return;
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Whether the pod is there and may still write.
    async fn lives(&mut self) -> Result<bool, RequestError> {
        let namespace = Some(self.namespace.as_str());
        let pod = self
            .cluster
            .get_plain(What::Pod, namespace, &self.pod)
            .await;
        let pod = match pod {
            Ok(pod) => pod,
            // It was there before; else the caller is told of it.
            Err(RequestError::NotFound { .. }) if !self.uid.is_empty() => return Ok(false),
            Err(error) => return Err(error),
        };
        let uid = text(&pod, "/metadata/uid");
        if self.uid.is_empty() {
            self.uid = uid;
            // The log of a pod that has ended can be read once.
            return Ok(true);
        }
        let phase = text(&pod, "/status/phase");
        Ok(self.uid == uid && phase != "Succeeded" && phase != "Failed")
    }

    /// Reads until the log ends.
    async fn read(&mut self, news: &News, pause: &mut Duration) -> Result<(), RequestError> {
        let namespace = self.namespace.clone();
        let pod = self.pod.clone();
        let asked = Asked::new("get", What::Pod, Some(&namespace))
            .name(&pod)
            .subresource("log");
        asked.check()?;
        let api: Api<Pod> = Api::namespaced(self.cluster.client.clone(), &namespace);
        let limit = self.cluster.request_timeout();
        let params = self.params();
        let opening = api.log_stream(&pod, &params);
        let lines = match tokio::time::timeout(limit, opening).await {
            Ok(Ok(lines)) => lines,
            Ok(Err(error)) => return Err(self.cluster.failed(asked, &error)),
            Err(_) => return Err(self.cluster.timed_out(asked, limit)),
        };
        self.is_interrupted = false;
        let mut lines = std::pin::pin!(lines);
        // A log may be silent for as long as it likes, so there is no deadline between lines; the
        // feed's owner has one.
        while let Some((line, is_cut)) =
            next_line(&mut lines)
                .await
                .map_err(|error| RequestError::Unreachable {
                    url: self.cluster.url().to_owned(),
                    reason: error.to_string(),
                })?
        {
            let at = Instant::now();
            *pause = FIRST_PAUSE;
            let (written, text) = split(&line);
            if let Some(written) = written {
                // `sinceTime` has seconds: lines that were told already come again.
                if !self.told.note(written, text) {
                    continue;
                }
                self.last = self.last.max(Some(written));
            }
            let line = LogLine {
                at,
                written: written.map(SystemTime::from),
                text: text.to_owned(),
                is_cut,
            };
            if news.send(Ok(line)).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn params(&self) -> LogParams {
        let mut params = LogParams {
            container: self.container.clone(),
            follow: true,
            timestamps: true,
            ..LogParams::default()
        };
        match (self.last, self.since) {
            (Some(last), _) => params.since_time = Some(a_second_before(last)),
            (None, Since::Beginning) => {}
            // The API takes no zero (kubernetes/kubernetes pkg/apis/core/validation
            // `ValidatePodLogOptions`).
            (None, Since::Seconds(seconds)) => params.since_seconds = Some(seconds.max(1).into()),
            (None, Since::Time(time)) => {
                let time = jiff::Timestamp::try_from(time).ok();
                params.since_time = time.map(whole_second);
            }
        }
        params
    }
}

/// The API takes whole seconds, and kube rounds to the nearest: that may be after lines that were
/// not read yet. So it gets the second that has begun, and one before it, because a line may be older
/// than the one in front of it. Lines that were told are known again.
fn a_second_before(time: jiff::Timestamp) -> jiff::Timestamp {
    whole_second(time)
        .checked_sub(jiff::SignedDuration::from_secs(1))
        .unwrap_or(time)
}

/// The second that has begun.
fn whole_second(time: jiff::Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// The next line up to the longest, and whether more of it was thrown away.
async fn next_line(
    from: &mut (impl AsyncBufRead + Unpin),
) -> std::io::Result<Option<(String, bool)>> {
    let mut line = Vec::new();
    let mut is_cut = false;
    loop {
        let part = from.fill_buf().await?;
        if part.is_empty() {
            if line.is_empty() {
                return Ok(None);
            }
            break;
        }
        let (end, used) = match part.iter().position(|byte| *byte == b'\n') {
            Some(at) => (true, at + 1),
            None => (false, part.len()),
        };
        let wanted = &part[..used - usize::from(end)];
        let room = LONGEST_LINE - line.len();
        is_cut |= wanted.len() > room;
        line.extend_from_slice(&wanted[..wanted.len().min(room)]);
        from.consume_unpin(used);
        if end {
            break;
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(Some((String::from_utf8_lossy(&line).into_owned(), is_cut)))
}

/// The kubelet's time in front of a line, and the line.
fn split(line: &str) -> (Option<jiff::Timestamp>, &str) {
    if let Some((time, rest)) = line.split_once(' ')
        && let Ok(time) = time.parse()
    {
        return (Some(time), rest);
    }
    // An empty line is its time alone.
    match line.parse() {
        Ok(time) => (Some(time), ""),
        Err(_) => (None, line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Asked as Request, Reply, run, status};
    use serde_json::json;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn pod(uid: &str, phase: &str) -> Reply {
        Reply::Json(
            200,
            json!({"metadata": {"uid": uid}, "status": {"phase": phase}}),
        )
    }

    /// Follows a log whose requests are answered in the order of these; the pod is there for one
    /// more look than there are logs.
    fn follow(logs: Vec<fn() -> Reply>) -> (Vec<Result<LogLine, RequestError>>, Vec<String>) {
        let (looks, opened) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let lives = logs.len();
        let (cluster, record) = fake::cluster(move |asked: &Request| {
            if !asked.path.contains("/log?") {
                let looks = looks.fetch_add(1, Ordering::Relaxed);
                return if looks < lives {
                    pod("u", "Running")
                } else {
                    status(404, "NotFound", "pods \"a\" not found", "a")
                };
            }
            logs[opened.fetch_add(1, Ordering::Relaxed)]()
        });
        let lines = run(async {
            let mut feed = cluster.follow_log("n", "a", Some("c"), Since::Seconds(5));
            let mut lines = Vec::new();
            while let Some(line) = feed.next().await {
                lines.push(line);
            }
            lines
        });
        let asked = record.lock().unwrap();
        let opened = asked.iter().filter(|it| it.path.contains("/log?"));
        (lines, opened.map(|it| it.path.clone()).collect())
    }

    #[test]
    fn a_log_that_ends_is_opened_again_and_no_line_comes_twice() {
        let (lines, opened) = follow(vec![
            || {
                Reply::Text(
                    "2026-11-25T12:00:00.100000001Z one\n2026-11-25T12:00:00.2Z two words\n".into(),
                )
            },
            || {
                Reply::Text(
                    "2026-11-25T12:00:00.100000001Z one\n2026-11-25T12:00:00.2Z two words\n\
                     2026-11-25T12:00:00.3Z\nno time"
                        .into(),
                )
            },
        ]);
        let lines: Vec<LogLine> = lines.into_iter().map(|it| it.unwrap()).collect();
        let texts: Vec<&str> = lines.iter().map(|it| it.text.as_str()).collect();
        assert_eq!(texts, ["one", "two words", "", "no time"]);
        assert!(lines[0].written < lines[1].written && lines[3].written.is_none());
        assert!(lines.is_sorted_by_key(|it| it.at));
        assert!(opened[0].contains("container=c&follow=true&sinceSeconds=5&timestamps=true"));
        assert!(
            opened[1].contains("sinceTime=2026-11-25T11%3A59%3A59Z"),
            "{}",
            opened[1]
        );
    }

    #[test]
    fn nothing_of_the_last_second_is_left_out() {
        let (_, opened) = follow(vec![
            || Reply::Text("2026-11-25T12:00:00.7Z one\n".into()),
            || Reply::Text(String::new()),
        ]);
        assert!(
            opened[1].contains("sinceTime=2026-11-25T11%3A59%3A59Z"),
            "the API has seconds, kube rounds up: {}",
            opened[1]
        );
    }

    #[test]
    fn a_line_that_is_older_than_the_one_before_is_told() {
        let (lines, _) = follow(vec![
            || Reply::Text("2026-11-25T12:00:00.2Z stderr\n2026-11-25T12:00:00.1Z stdout\n".into()),
            || {
                Reply::Text(
                    "2026-11-25T12:00:00.2Z stderr\n2026-11-25T12:00:00.1Z stdout\n\
                     2026-11-25T12:00:00.15Z late\n"
                        .into(),
                )
            },
        ]);
        let texts: Vec<String> = lines.into_iter().map(|it| it.unwrap().text).collect();
        assert_eq!(texts, ["stderr", "stdout", "late"]);
    }

    #[test]
    fn between_two_runs_of_a_container_it_waits() {
        let (lines, _) = follow(vec![
            || Reply::Text("one\n".into()),
            || {
                status(
                    400,
                    "BadRequest",
                    "container \"c\" is waiting to start",
                    "a",
                )
            },
            || {
                status(
                    400,
                    "BadRequest",
                    "container \"c\" is waiting to start",
                    "a",
                )
            },
            || Reply::Text("two\n".into()),
        ]);
        let [Ok(one), Err(waits), Ok(two)] = &lines[..] else {
            panic!("told once: {lines:?}")
        };
        assert_eq!((one.text.as_str(), two.text.as_str()), ("one", "two"));
        assert!(waits.to_string().contains("waiting to start"), "{waits}");
    }

    #[test]
    fn a_refusal_ends_it_with_the_rule() {
        let (lines, _) = follow(vec![|| {
            let message = "pods \"a\" is forbidden: User \"u\" cannot get resource \"pods/log\" in \
                API group \"\" in the namespace \"n\"";
            status(403, "Forbidden", message, "a")
        }]);
        let [Err(error)] = &lines[..] else {
            panic!("{lines:?}")
        };
        assert!(
            error.to_string().contains(r#"resources: ["pods/log"]"#),
            "{error}"
        );
    }

    #[test]
    fn a_long_line_is_cut_and_the_next_one_is_whole() {
        let long = "x".repeat(LONGEST_LINE + 10);
        let text = format!("{long}\r\nnext\nlast");
        let lines = run(async {
            let mut from = futures::io::Cursor::new(text.into_bytes());
            let mut lines = Vec::new();
            while let Some(line) = next_line(&mut from).await.unwrap() {
                lines.push((line.0.len(), line.1));
            }
            lines
        });
        assert_eq!(lines, [(LONGEST_LINE, true), (4, false), (4, false)]);
    }
}
