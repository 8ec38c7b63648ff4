//! What the person who asks may do.

use crate::call::Asked;
use crate::connection::Cluster;
use crate::request_error::RequestError;
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::PostParams;
use kube::core::Request;
use serde_json::{Value, json};

/// So many questions are asked at a time.
const AT_A_TIME: usize = 8;

/// One right.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    /// The verb: `get`, `list`, `watch`, `create`, `update`, `delete`.
    pub verb: String,
    /// API group, empty for core.
    pub group: String,
    /// The resource, in plural.
    pub resource: String,
    /// The subresource, such as `log` or `exec`; empty for the resource itself.
    pub subresource: String,
    /// The namespace; none for all of them, or for what lives in none.
    pub namespace: Option<String>,
}

impl Access {
    /// A right on a resource.
    pub fn new(verb: &str, what: crate::What, namespace: Option<&str>) -> Access {
        Access {
            verb: verb.to_owned(),
            group: what.group().to_owned(),
            resource: what.plural().to_owned(),
            subresource: String::new(),
            namespace: namespace
                .filter(|_| what.is_namespaced())
                .map(str::to_owned),
        }
    }

    /// The same right on a subresource.
    pub fn subresource(self, subresource: &str) -> Access {
        Access {
            subresource: subresource.to_owned(),
            ..self
        }
    }

    /// `pods/log`.
    pub fn path(&self) -> String {
        match self.subresource.as_str() {
            "" => self.resource.clone(),
            subresource => format!("{}/{subresource}", self.resource),
        }
    }

    /// The RBAC rule that gives it, in one line of YAML.
    pub fn rule(&self) -> String {
        format!(
            "- {{apiGroups: [{:?}], resources: [{:?}], verbs: [{:?}]}}",
            self.group,
            self.path(),
            self.verb
        )
    }

    /// The line of kubectl that asks for it.
    pub fn can_i(&self) -> String {
        let mut line = format!("kubectl auth can-i {} {}", self.verb, self.resource);
        if !self.group.is_empty() {
            line.push('.');
            line.push_str(&self.group);
        }
        if !self.subresource.is_empty() {
            line.push_str(" --subresource=");
            line.push_str(&self.subresource);
        }
        if let Some(namespace) = &self.namespace {
            line.push_str(" -n ");
            line.push_str(namespace);
        }
        line
    }
}

impl Cluster {
    /// Asks for each right whether the one who asks has it (SelfSubjectAccessReview); answers in
    /// the order of the questions. Nothing is tried out.
    ///
    /// # Errors
    ///
    /// When one of the questions is not answered.
    pub async fn allowed(&self, rights: &[Access]) -> Result<Vec<(Access, bool)>, RequestError> {
        stream::iter(rights.to_vec())
            .map(|right| async move {
                let allowed = self.may(&right).await?;
                Ok((right, allowed))
            })
            .buffered(AT_A_TIME)
            .try_collect()
            .await
    }

    async fn may(&self, right: &Access) -> Result<bool, RequestError> {
        let asked = Asked {
            verb: "create",
            resource: "selfsubjectaccessreviews",
            group: "authorization.k8s.io",
            subresource: None,
            namespace: None,
            name: None,
        };
        let mut attributes = json!({
            "verb": right.verb, "group": right.group, "resource": right.resource,
        });
        if !right.subresource.is_empty() {
            attributes["subresource"] = Value::from(right.subresource.as_str());
        }
        if let Some(namespace) = &right.namespace {
            attributes["namespace"] = Value::from(namespace.as_str());
        }
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        });
        let request = Request::new("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews");
        let request = request.create(&PostParams::default(), review.to_string().into_bytes());
        let answer = self.call(asked, request).await?;
        Ok(answer.body.pointer("/status/allowed") == Some(&Value::Bool(true)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::What;
    use crate::fake::{self, Asked as Request, Reply, run};

    #[test]
    fn rights_are_answered_in_their_order() {
        let (cluster, record) = fake::cluster(|asked: &Request| {
            let attributes = &asked.body["spec"]["resourceAttributes"];
            let allowed = attributes["subresource"] != "exec";
            let status = json!({"status": {"allowed": allowed}});
            match attributes["resource"] == "nodes" {
                // The first is answered last.
                true => Reply::Late(fake::TIMEOUT / 4, status),
                false => Reply::Json(201, status),
            }
        });
        let rights = [
            Access::new("list", What::Node, Some("n")),
            Access::new("create", What::Pod, Some("n")).subresource("exec"),
            Access::new("delete", What::Pod, Some("n")),
        ];
        let answers = run(cluster.allowed(&rights)).unwrap();
        let allowed: Vec<bool> = answers.iter().map(|(_, allowed)| *allowed).collect();
        assert_eq!(allowed, [true, false, true]);
        assert_eq!(answers[1].0, rights[1]);
        assert_eq!(rights[0].namespace, None, "a node is in no namespace");
        let asked = record.lock().unwrap();
        let exec = asked
            .iter()
            .find(|it| it.body.to_string().contains("exec"))
            .unwrap();
        assert_eq!(
            exec.body["spec"]["resourceAttributes"],
            json!({"verb": "create", "group": "", "resource": "pods", "subresource": "exec",
                "namespace": "n"})
        );
    }
}
