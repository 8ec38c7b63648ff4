//! What became of one request.

use crate::lane::Lane;
use crate::moment::Moment;
use serde::Serialize;

/// One request of a drill, as its client saw it, with what the proxy's log adds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// Its lane.
    pub lane: Lane,
    /// Its number in the lane, from 0.
    pub sequence: u64,
    /// What names it in the proxy's log, through its user agent: `RUN/NUMBER`.
    pub token: String,
    /// The client's port, for who watches from outside.
    pub local_port: Option<u16>,
    /// When it was due.
    #[serde(rename = "intendedMs")]
    pub intended: Moment,
    /// When its connection was begun.
    #[serde(rename = "startedMs")]
    pub started: Moment,
    /// When it ended, one way or the other; for one that was still open, when the drill let go.
    #[serde(rename = "endedMs")]
    pub ended: Moment,
    /// How it ended.
    pub end: End,
    /// HTTP status, if headers came.
    pub status: Option<u16>,
    /// Bytes of body that came.
    pub bytes: u64,
    /// Events of a stream that carried content.
    pub content_events: u64,
    /// When the last of them came.
    #[serde(rename = "lastContentMs")]
    pub last_content: Option<Moment>,
    /// Where the proxy sent it, in order; `None` where its log could not be read or has no such
    /// line.
    pub attempts: Option<Vec<Attempt>>,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "how")]
pub enum End {
    /// Answered in full, below 400, and a stream with its terminator.
    Answered,
    /// Failed.
    Failed {
        /// The cause, as `test` spells it: `refused`, `closed-in-body`, `http`…
        cause: String,
        /// The cause in words.
        message: String,
    },
    /// Still open when the drill let go of it.
    Open,
}

/// One attempt of a proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// The upstream's address.
    pub address: String,
    /// The pod that had it then; `None` where no endpoint of it was seen.
    pub pod: Option<String>,
    /// Whether that pod is the victim.
    pub is_victim: bool,
    /// The status that the proxy took it for.
    pub status: Option<u16>,
}

impl Sample {
    /// Whether it was open when the fault was sent.
    pub fn is_open_at_t0(&self) -> bool {
        self.started < Moment::T0 && self.ended >= Moment::T0
    }

    /// Whether it started after the fault was sent.
    pub fn is_after(&self) -> bool {
        self.started >= Moment::T0
    }

    /// Whether the client was answered.
    pub fn is_answered(&self) -> bool {
        self.end == End::Answered
    }

    /// Whether the client saw it fail.
    pub fn is_failed(&self) -> bool {
        matches!(self.end, End::Failed { .. })
    }

    /// The cause of its failure.
    pub fn cause(&self) -> Option<&str> {
        match &self.end {
            End::Failed { cause, .. } => Some(cause),
            _ => None,
        }
    }

    /// Whether it failed after it had begun to answer: the status says success, the body is cut.
    pub fn is_truncated(&self) -> bool {
        self.is_failed() && self.status.is_some_and(|status| status < 400)
    }

    /// Whether the proxy hid a retry: more than one attempt, and the client saw success. `None`
    /// where the attempts are not known.
    pub fn is_hidden_retry(&self) -> Option<bool> {
        let attempts = self.attempts.as_ref()?;
        Some(attempts.len() > 1 && !self.is_failed())
    }

    /// Whether a person wants to see it by itself: it failed, was cut, was left open, or a proxy
    /// sent it more than once.
    pub fn is_notable(&self) -> bool {
        !self.is_answered() || self.is_hidden_retry() == Some(true)
    }

    /// Who served it, or failed it: the last attempt.
    pub fn last_attempt(&self) -> Option<&Attempt> {
        self.attempts.as_ref()?.last()
    }

    /// Whether the victim had it: the last attempt went there. `None` where that is not known.
    pub fn was_on_victim(&self) -> Option<bool> {
        Some(self.last_attempt()?.is_victim)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::time::Duration;

    /// A request that starts at this many milliseconds and takes 20.
    pub(crate) fn answered(lane: Lane, sequence: u64, start: i64) -> Sample {
        let started = Moment(start * 1_000_000);
        Sample {
            lane,
            sequence,
            token: format!("run/{sequence}"),
            local_port: None,
            intended: started,
            started,
            ended: started.plus(Duration::from_millis(20)),
            end: End::Answered,
            status: Some(200),
            bytes: 100,
            content_events: 0,
            last_content: None,
            attempts: Some(vec![attempt("10.0.0.2:8080", 200)]),
        }
    }

    /// The same, failed.
    pub(crate) fn failed(lane: Lane, sequence: u64, start: i64) -> Sample {
        Sample {
            end: End::Failed {
                cause: "http".to_owned(),
                message: "502 Bad Gateway".to_owned(),
            },
            status: Some(502),
            attempts: Some(vec![attempt(VICTIM, 502)]),
            ..answered(lane, sequence, start)
        }
    }

    /// The victim's address.
    pub(crate) const VICTIM: &str = "10.0.0.1:8080";

    /// An attempt.
    pub(crate) fn attempt(address: &str, status: u16) -> Attempt {
        Attempt {
            address: address.to_owned(),
            pod: Some(
                if address == VICTIM {
                    "llama-a"
                } else {
                    "llama-b"
                }
                .to_owned(),
            ),
            is_victim: address == VICTIM,
            status: Some(status),
        }
    }

    #[test]
    fn a_request_is_before_at_or_after_t0() {
        let before = answered(Lane::GET, 0, -50);
        assert!(!before.is_open_at_t0() && !before.is_after());
        let open = answered(Lane::GET, 1, -10);
        assert!(open.is_open_at_t0() && !open.is_after());
        let after = answered(Lane::GET, 2, 0);
        assert!(!after.is_open_at_t0() && after.is_after());
    }

    #[test]
    fn a_retry_is_hidden_only_from_a_client_that_was_answered() {
        let attempts = Some(vec![attempt(VICTIM, 502), attempt("10.0.0.2:8080", 200)]);
        let mut sample = answered(Lane::GET, 0, 10);
        assert_eq!(sample.is_hidden_retry(), Some(false));
        sample.attempts = attempts.clone();
        assert_eq!(sample.is_hidden_retry(), Some(true));
        let mut sample = failed(Lane::GET, 0, 10);
        sample.attempts = attempts;
        assert_eq!(sample.is_hidden_retry(), Some(false));
        sample.attempts = None;
        assert_eq!(sample.is_hidden_retry(), None);
    }
}
