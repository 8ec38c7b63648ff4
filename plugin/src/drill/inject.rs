//! The fault itself.

use infer_cluster::{Cluster, RequestError};
use infer_drill::fault::Fault;
use infer_drill::plan::Victim;
use infer_drill::process::{self, Process};
use infer_drill::refusal::Refusal;
use std::time::Duration;

/// How long a command in the victim may take.
const EXEC: Duration = Duration::from_secs(10);
/// How much of its output is read: command lines are at most 128 KiB a word, and few.
const OUTPUT: usize = 256 * 1024;

/// What came of sending it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It was taken, in these words.
    Taken(String),
    /// It was refused: the cluster is as it was.
    Refused(String),
    /// No answer: it may have happened.
    Unknown(String),
}

/// Looks for the server's process in the victim.
///
/// # Errors
///
/// Why it cannot be killed from inside.
pub(crate) async fn find(
    cluster: &Cluster,
    namespace: &str,
    victim: &Victim,
    markers: &[String],
    instead: &str,
) -> Result<Process, Refusal> {
    let no_shell = |message: String| Refusal::NoShell {
        pod: victim.pod.clone(),
        container: victim.container.clone(),
        message,
        instead: instead.to_owned(),
    };
    let command = ["sh", "-c", process::LIST];
    let container = Some(victim.container.as_str());
    let output = cluster
        .exec(namespace, &victim.pod, container, &command, EXEC, OUTPUT)
        .await
        .map_err(|error| no_shell(error.message()))?;
    let processes = process::parse(output.stdout.as_bytes());
    if processes.is_empty() {
        let said = output.stderr.lines().next().unwrap_or("it printed nothing");
        return Err(no_shell(said.to_owned()));
    }
    match process::server(&processes, markers) {
        Some(found) if found.pid == 1 => Err(Refusal::PidOne {
            pod: victim.pod.clone(),
            instead: instead.to_owned(),
        }),
        Some(found) => Ok(found.clone()),
        None => {
            let runs: Vec<String> = processes
                .iter()
                .take(5)
                .map(|it| format!("`{}` ({})", it.shown(), it.pid))
                .collect();
            let quoted: Vec<String> = markers.iter().map(|it| format!("`{it}`")).collect();
            Err(Refusal::NoProcess {
                pod: victim.pod.clone(),
                container: victim.container.clone(),
                wanted: if quoted.is_empty() {
                    "a runtime that is known".to_owned()
                } else {
                    quoted.join(" or ")
                },
                runs: runs.join(", "),
                instead: instead.to_owned(),
            })
        }
    }
}

/// Sends the fault.
pub(crate) async fn send(
    cluster: &Cluster,
    namespace: &str,
    victim: &Victim,
    fault: Fault,
) -> Sent {
    let pod = &victim.pod;
    match fault {
        Fault::Delete | Fault::ForceDelete => {
            let grace = (fault == Fault::ForceDelete).then_some(0);
            let deleted = cluster
                .delete_pod(namespace, pod, &victim.uid, grace, false)
                .await;
            match deleted {
                Ok(deleted) => {
                    let grace = deleted.grace.unwrap_or(0);
                    Sent::Taken(format!("pod/{pod} deleted, grace {grace}s"))
                }
                Err(error) => failed(&error),
            }
        }
        Fault::Crash => crash(cluster, namespace, victim).await,
    }
}

async fn crash(cluster: &Cluster, namespace: &str, victim: &Victim) -> Sent {
    let Some(pid) = victim.pid else {
        return Sent::Refused("the server's process is not known".to_owned());
    };
    let kill = process::killer(pid);
    let command = ["sh", "-c", kill.as_str()];
    let container = Some(victim.container.as_str());
    let output = cluster
        .exec(namespace, &victim.pod, container, &command, EXEC, OUTPUT)
        .await;
    match output {
        // Where the container dies faster than its news, there is no code.
        Ok(output) if output.code.is_none_or(|code| code == 0 || code == 137) => {
            Sent::Taken(format!("process {pid} in pod/{} got SIGKILL", victim.pod))
        }
        Ok(output) => Sent::Refused(format!("`{kill}` failed: {}", output.stderr.trim())),
        Err(error) => failed(&error),
    }
}

fn failed(error: &RequestError) -> Sent {
    match error {
        RequestError::TimedOut { .. } | RequestError::Unreachable { .. } => {
            Sent::Unknown(error.message())
        }
        _ => Sent::Refused(error.message()),
    }
}
