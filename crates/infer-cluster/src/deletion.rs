//! Deleting one pod and no other.

use crate::call::Asked;
use crate::connection::Cluster;
use crate::objects::text;
use crate::request_error::RequestError;
use crate::what::What;
use kube::api::{DeleteParams, Preconditions};
use serde_json::Value;

/// A deletion that the API server took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// The grace period that it set, in seconds; none where the pod is gone at once.
    pub grace: Option<u64>,
    /// Whether it was only tried out.
    pub is_dry_run: bool,
    /// The pod as the API server answered it: with `metadata.deletionTimestamp`, when it is still
    /// there.
    pub pod: Value,
}

impl Cluster {
    /// Deletes the pod of this name if it still is the one of this uid. `grace` in seconds; none
    /// for the pod's own, zero for at once. With `dry_run` the API server checks and stores
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`RequestError::Conflict`] when the pod is another one by now.
    pub async fn delete_pod(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        grace: Option<u32>,
        dry_run: bool,
    ) -> Result<Deleted, RequestError> {
        let asked = Asked::new("delete", What::Pod, Some(namespace)).name(name);
        let params = DeleteParams {
            dry_run,
            grace_period_seconds: grace,
            propagation_policy: None,
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
        };
        let request = Cluster::requests(What::Pod, Some(namespace)).delete(name, &params);
        let pod = self.call(asked, request).await?.body;
        let is_pod = text(&pod, "/kind") == "Pod";
        Ok(Deleted {
            grace: pod
                .pointer("/metadata/deletionGracePeriodSeconds")
                .and_then(Value::as_u64),
            is_dry_run: dry_run,
            pod: if is_pod { pod } else { Value::Null },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Asked as Request, Reply, run, status};
    use serde_json::json;

    #[test]
    fn the_pod_of_that_uid_alone_is_deleted() {
        let (cluster, record) = fake::cluster(|asked: &Request| {
            if asked.body["preconditions"]["uid"] != "u1" {
                let message = "Operation cannot be fulfilled on Pod \"a\": the UID in the \
                               precondition (u2) does not match the UID in record (u1)";
                return status(409, "Conflict", message, "a");
            }
            let pod = json!({"kind": "Pod", "metadata": {
                "name": "a", "deletionGracePeriodSeconds": 7,
                "deletionTimestamp": "2026-11-25T12:00:07Z",
            }});
            Reply::Json(200, pod)
        });
        let deleted = run(cluster.delete_pod("n", "a", "u1", Some(7), true)).unwrap();
        assert_eq!((deleted.grace, deleted.is_dry_run), (Some(7), true));
        assert_eq!(text(&deleted.pod, "/metadata/name"), "a");
        let error = run(cluster.delete_pod("n", "a", "u2", None, false)).unwrap_err();
        assert!(
            matches!(error, RequestError::Conflict { exists: false, .. }),
            "{error:?}"
        );
        let asked = record.lock().unwrap();
        let [dry, real] = &asked[..] else {
            panic!("two requests")
        };
        assert_eq!(dry.body["dryRun"], json!(["All"]));
        assert_eq!(dry.body["gracePeriodSeconds"], 7);
        assert_eq!(
            real.body,
            json!({"preconditions": {"uid": "u2"}}),
            "the pod's own grace"
        );
        assert!(
            real.path.starts_with("/api/v1/namespaces/n/pods/a"),
            "{}",
            real.path
        );
    }

    #[test]
    fn one_that_is_gone_at_once_has_no_grace() {
        let (cluster, _) =
            fake::cluster(|_| Reply::Json(200, json!({"kind": "Status", "status": "Success"})));
        let deleted = run(cluster.delete_pod("n", "a", "u", Some(0), false)).unwrap();
        assert_eq!((deleted.grace, deleted.pod), (None, Value::Null));
    }
}
