//! What changes in the cluster, stamped when the news arrive: the API's own times have seconds.

use crate::call::Asked;
use crate::connection::Cluster;
use crate::feed::Feed;
use crate::objects::{Selector, text};
use crate::request_error::RequestError;
use crate::what::What;
use futures::StreamExt;
use kube::api::WatchParams;
use kube::core::WatchEvent;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;

/// One watch lasts so long, in seconds; then it is taken up again where it was. A dead peer is
/// noticed a little later.
const WATCH: u32 = 120;
/// How much longer than that the end of a watch is waited for.
const GRACE: Duration = Duration::from_secs(5);
/// The first wait after a failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest wait after a failure: a drill measures in seconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// News of one object, or of the watch itself.
#[derive(Clone, Debug)]
pub struct Change {
    /// When the news arrived here.
    pub at: Instant,
    /// What happened.
    pub what: Happened,
    /// The object as it is; as it last was, when it is gone; null for news of the watch.
    pub object: Value,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It is there: in the first list, or new.
    Appeared,
    /// It is another than before.
    Changed,
    /// It is not there any more.
    Gone,
    /// The first list is complete: every object of it was told as [`Happened::Appeared`].
    Listed,
    /// News do not come in, for this reason. It is tried again, except after a refusal (401, 403,
    /// 404): then the feed ends.
    Interrupted(String),
    /// News come in again; what was missed was told before this, with the stamps of now.
    Resumed,
}

impl Cluster {
    /// Follows objects: first those that are there, then every change. A task of its own stamps
    /// the news, so a reader may be busy. Needs a tokio runtime.
    pub fn follow(&self, what: What, namespace: Option<&str>, selector: &Selector) -> Feed<Change> {
        let following = Following {
            cluster: self.clone(),
            what,
            namespace: namespace.map(str::to_owned),
            selector: selector.clone(),
            known: BTreeMap::new(),
            version: None,
            is_interrupted: false,
            was_listed: false,
        };
        Feed::start(|news| following.run(news))
    }
}

/// The reader of the feed is gone.
struct NobodyReads;

/// Why a watch ended.
enum Ended {
    /// As agreed: it goes on at the version it came to.
    InTime,
    /// It must begin with a list.
    Stale,
    Failed(RequestError),
    NobodyReads,
}

impl From<NobodyReads> for Ended {
    fn from(_: NobodyReads) -> Ended {
        Ended::NobodyReads
    }
}

struct Following {
    cluster: Cluster,
    what: What,
    namespace: Option<String>,
    selector: Selector,
    /// Each object as it was last told, by uid.
    known: BTreeMap<String, Value>,
    /// Where the watch is; none when it must begin with a list.
    version: Option<String>,
    is_interrupted: bool,
    was_listed: bool,
}

impl Following {
    async fn run(mut self, news: Sender<Change>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let failure = match self.once(&news, &mut pause).await {
                Ended::InTime => continue,
                Ended::NobodyReads => return,
                Ended::Stale => {
                    self.version = None;
                    None
                }
                Ended::Failed(error) => Some(error),
            };
            if let Some(error) = failure {
                let first = !std::mem::replace(&mut self.is_interrupted, true);
                let what = Happened::Interrupted(error.message());
                if first
                    && tell(&news, Instant::now(), what, Value::Null)
                        .await
                        .is_err()
                {
                    return;
                }
                if is_lasting(&error) {
                    return;
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// A list where one is needed, and one watch.
    async fn once(&mut self, news: &Sender<Change>, pause: &mut Duration) -> Ended {
        if self.version.is_none()
            && let Err(ended) = self.list(news).await
        {
            return ended;
        }
        let version = self.version.clone().unwrap_or_default();
        let limit = self.cluster.request_timeout();
        let namespace = self.namespace.clone();
        let asked = Asked::new("watch", self.what, namespace.as_deref());
        if let Err(error) = asked.check() {
            return Ended::Failed(error);
        }
        let params = self.selector.params();
        let params = WatchParams {
            label_selector: params.label_selector,
            field_selector: params.field_selector,
            timeout: Some(WATCH),
            bookmarks: true,
            send_initial_events: false,
        };
        let request = Cluster::requests(self.what, namespace.as_deref()).watch(&params, &version);
        let request = match request {
            Ok(request) => request,
            Err(error) => {
                return Ended::Failed(RequestError::Other {
                    doing: asked.doing(),
                    code: None,
                    message: error.to_string(),
                });
            }
        };
        let client = self.cluster.client.clone();
        let events = client.request_events::<Value>(request);
        let events = match tokio::time::timeout(limit, events).await {
            Ok(Ok(events)) => events,
            Ok(Err(error)) => return self.ended(asked, &error),
            Err(_) => return Ended::Failed(self.cluster.timed_out(asked, limit)),
        };
        if let Err(ended) = self.goes_on(news).await {
            return ended.into();
        }
        *pause = FIRST_PAUSE;
        let mut events = std::pin::pin!(events);
        let end = tokio::time::sleep(Duration::from_secs(WATCH.into()) + GRACE);
        let mut end = std::pin::pin!(end);
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = &mut end => {
                    let silent = Duration::from_secs(WATCH.into()) + GRACE;
                    return Ended::Failed(self.cluster.timed_out(asked, silent));
                }
            };
            let at = Instant::now();
            let told = match event {
                None => return Ended::InTime,
                Some(Err(error)) => return self.ended(asked, &error),
                Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object))) => {
                    self.is_there(news, at, object).await
                }
                Some(Ok(WatchEvent::Deleted(object))) => self.is_gone(news, at, object).await,
                Some(Ok(WatchEvent::Bookmark(bookmark))) => {
                    self.version = Some(bookmark.metadata.resource_version);
                    Ok(())
                }
                Some(Ok(WatchEvent::Error(status))) => {
                    return self.ended(asked, &kube::Error::Api(status));
                }
            };
            if let Err(gone) = told {
                return gone.into();
            }
        }
    }

    async fn list(&mut self, news: &Sender<Change>) -> Result<(), Ended> {
        let listed = self
            .cluster
            .list_with_version(self.what, self.namespace.as_deref(), &self.selector)
            .await
            .map_err(Ended::Failed)?;
        let at = Instant::now();
        let mut gone = std::mem::take(&mut self.known);
        for object in &listed.items {
            if let Some((uid, known)) = gone.remove_entry(&key(object)) {
                self.known.insert(uid, known);
            }
        }
        // What is gone comes first: its successor may have its name.
        for object in gone.into_values() {
            tell(news, at, Happened::Gone, object).await?;
        }
        for object in listed.items {
            self.is_there(news, at, object).await?;
        }
        self.version = Some(listed.version);
        if !self.was_listed {
            self.was_listed = true;
            tell(news, at, Happened::Listed, Value::Null).await?;
        }
        Ok(())
    }

    /// After an interruption: says that it is over.
    async fn goes_on(&mut self, news: &Sender<Change>) -> Result<(), NobodyReads> {
        if std::mem::replace(&mut self.is_interrupted, false) {
            tell(news, Instant::now(), Happened::Resumed, Value::Null).await?;
        }
        Ok(())
    }

    async fn is_there(
        &mut self,
        news: &Sender<Change>,
        at: Instant,
        object: Value,
    ) -> Result<(), NobodyReads> {
        let version = text(&object, "/metadata/resourceVersion");
        let before = self.known.insert(key(&object), object.clone());
        let what = match before {
            None => Happened::Appeared,
            Some(before) if text(&before, "/metadata/resourceVersion") == version => return Ok(()),
            Some(_) => Happened::Changed,
        };
        self.version = Some(version);
        tell(news, at, what, object).await
    }

    async fn is_gone(
        &mut self,
        news: &Sender<Change>,
        at: Instant,
        object: Value,
    ) -> Result<(), NobodyReads> {
        self.version = Some(text(&object, "/metadata/resourceVersion"));
        match self.known.remove(&key(&object)) {
            Some(_) => tell(news, at, Happened::Gone, object).await,
            None => Ok(()),
        }
    }

    fn ended(&self, asked: Asked<'_>, error: &kube::Error) -> Ended {
        match self.cluster.failed(asked, error) {
            RequestError::Gone { .. } => Ended::Stale,
            other => Ended::Failed(other),
        }
    }
}

async fn tell(
    news: &Sender<Change>,
    at: Instant,
    what: Happened,
    object: Value,
) -> Result<(), NobodyReads> {
    let change = Change { at, what, object };
    news.send(change).await.map_err(|_| NobodyReads)
}

/// Trying again changes nothing.
fn is_lasting(error: &RequestError) -> bool {
    !error.is_passing()
}

/// The uid; where a fake has none, the name.
fn key(object: &Value) -> String {
    let uid = text(object, "/metadata/uid");
    if uid.is_empty() {
        let namespace = text(object, "/metadata/namespace");
        return format!("{namespace}/{}", text(object, "/metadata/name"));
    }
    uid
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Asked as Request, Reply, list, object, run, status};
    use serde_json::json;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn event(kind: &str, object: &Value) -> Value {
        json!({"type": kind, "object": object})
    }

    /// What happened to whom.
    fn told(change: &Change) -> String {
        let name = text(&change.object, "/metadata/name");
        match &change.what {
            Happened::Interrupted(why) => format!("interrupted: {why}"),
            what if name.is_empty() => format!("{what:?}"),
            what => format!("{what:?} {name}"),
        }
    }

    /// Follows pods; lists and watches are answered in the order of these, then never.
    fn follow(lists: Vec<fn() -> Reply>, watches: Vec<fn() -> Reply>, news: usize) -> Vec<String> {
        let (listed, watched) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (cluster, _) = fake::cluster(move |asked: &Request| {
            let (replies, at) = match asked.path.contains("watch=true") {
                true => (&watches, &watched),
                false => (&lists, &listed),
            };
            match replies.get(at.fetch_add(1, Ordering::Relaxed)) {
                Some(reply) => reply(),
                None => Reply::Never,
            }
        });
        run(async {
            let mut last = Instant::now();
            let mut feed = cluster.follow(What::Pod, Some("n"), &Selector::all());
            let mut told_so_far = Vec::new();
            while told_so_far.len() < news {
                let Some(change) = feed.next().await else {
                    told_so_far.push("end".to_owned());
                    break;
                };
                assert!(change.at >= last, "stamps never go back");
                last = change.at;
                told_so_far.push(told(&change));
            }
            told_so_far
        })
    }

    #[test]
    fn first_what_is_there_then_what_changes() {
        let news = follow(
            vec![|| list("5", &[object("a", "1"), object("b", "2")])],
            vec![
                || {
                    Reply::Lines(vec![
                        event("MODIFIED", &object("a", "6")),
                        event("ADDED", &object("c", "7")),
                    ])
                },
                || Reply::Lines(vec![event("DELETED", &object("b", "8"))]),
            ],
            6,
        );
        // The end of a watch is no news.
        let wanted = [
            "Appeared a",
            "Appeared b",
            "Listed",
            "Changed a",
            "Appeared c",
            "Gone b",
        ];
        assert_eq!(news, wanted);
    }

    #[test]
    fn a_watch_that_is_too_old_tells_only_what_differs() {
        let news = follow(
            vec![
                || list("5", &[object("a", "1"), object("b", "2"), object("c", "3")]),
                || list("9", &[object("a", "1"), object("c", "7"), object("d", "8")]),
            ],
            vec![|| {
                let status = json!({"kind": "Status", "code": 410, "message": "too old"});
                Reply::Lines(vec![event("ERROR", &status)])
            }],
            7,
        );
        let wanted = [
            "Appeared a",
            "Appeared b",
            "Appeared c",
            "Listed",
            "Gone b",
            "Changed c",
            "Appeared d",
        ];
        assert_eq!(news, wanted);
    }

    #[test]
    fn an_interruption_is_told_once_and_its_end_too() {
        let news = follow(
            vec![|| list("5", &[object("a", "1")])],
            vec![
                || status(503, "ServiceUnavailable", "starting", ""),
                || status(503, "ServiceUnavailable", "starting", ""),
                || Reply::Lines(vec![event("MODIFIED", &object("a", "6"))]),
            ],
            5,
        );
        let interrupted = "interrupted: watch pods in namespace n: the API server answers 503: \
                           starting";
        assert_eq!(
            news,
            ["Appeared a", "Listed", interrupted, "Resumed", "Changed a"]
        );
    }

    #[test]
    fn a_refusal_is_told_and_ends_the_feed() {
        let news = follow(vec![|| status(403, "Forbidden", "no", "")], vec![], 9);
        assert_eq!(
            news,
            [
                "interrupted: list pods in namespace n is refused: no",
                "end"
            ]
        );
    }

    #[test]
    fn one_that_never_answers_is_an_interruption() {
        let news = follow(vec![], vec![], 1);
        assert!(
            news[0].contains("did not answer within 0.3 s: list pods"),
            "{news:?}"
        );
    }
}
