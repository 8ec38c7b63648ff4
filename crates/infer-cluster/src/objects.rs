//! Reading objects: one by its name, or many by a selector.

use crate::call::Asked;
use crate::connection::Cluster;
use crate::near::near;
use crate::request_error::{Hints, RequestError};
use crate::what::What;
use kube::api::{GetParams, ListParams};
use serde_json::Value;

/// Objects in one page of a list: kubectl's own `--chunk-size`.
const PAGE: u32 = 500;
/// A list of more objects is not read: 100 pages.
const MOST: usize = 50_000;

/// So many namespaces are named.
const SHOWN: usize = 3;

/// Which objects are wanted; all of them when it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// A label selector as kubectl's `-l` takes it; empty for all.
    pub labels: String,
    /// A field selector as kubectl's `--field-selector` takes it; empty for all.
    pub fields: String,
}

impl Selector {
    /// Every object.
    pub fn all() -> Selector {
        Selector::default()
    }

    /// By a label selector.
    pub fn labels(labels: impl Into<String>) -> Selector {
        Selector {
            labels: labels.into(),
            fields: String::new(),
        }
    }

    /// By a field selector.
    pub fn fields(fields: impl Into<String>) -> Selector {
        Selector {
            labels: String::new(),
            fields: fields.into(),
        }
    }

    /// The one of this name.
    pub fn name(name: &str) -> Selector {
        Selector::fields(format!("metadata.name={name}"))
    }

    /// The EndpointSlices of a Service (KEP-752: the label `kubernetes.io/service-name`).
    pub fn slices_of(service: &str) -> Selector {
        Selector::labels(format!("kubernetes.io/service-name={service}"))
    }

    pub(crate) fn params(&self) -> ListParams {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        ListParams {
            label_selector: some(&self.labels),
            field_selector: some(&self.fields),
            ..ListParams::default()
        }
    }
}

impl Cluster {
    /// One object, as it is stored.
    ///
    /// # Errors
    ///
    /// [`RequestError::NotFound`] carries names that are near, and the namespaces that have an
    /// object of that name, as far as they may be listed.
    pub async fn get(
        &self,
        what: What,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Value, RequestError> {
        match self.get_plain(what, namespace, name).await {
            Err(RequestError::NotFound {
                resource,
                name,
                namespace,
                ..
            }) => {
                let hints = self.hints(what, namespace.as_deref(), &name).await;
                Err(RequestError::NotFound {
                    resource,
                    name,
                    namespace,
                    hints: Box::new(hints),
                })
            }
            other => other,
        }
    }

    /// One object; a missing one is not explained.
    pub(crate) async fn get_plain(
        &self,
        what: What,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Value, RequestError> {
        let asked = Asked::new("get", what, namespace).name(name);
        let request = Cluster::requests(what, namespace).get(name, &GetParams::default());
        Ok(self.call(asked, request).await?.body)
    }

    /// Every object that the selector takes, complete with `apiVersion` and `kind`.
    ///
    /// In a namespace it is read in pages and as new as it can be. Over all namespaces it comes
    /// from the API server's memory in one answer (`resourceVersion=0`), which may be a moment old
    /// but costs etcd nothing.
    ///
    /// # Errors
    ///
    /// As every request; also when there are more than 50,000 objects.
    pub async fn list(
        &self,
        what: What,
        namespace: Option<&str>,
        selector: &Selector,
    ) -> Result<Vec<Value>, RequestError> {
        let listed = self.list_with_version(what, namespace, selector).await?;
        Ok(listed.items)
    }

    pub(crate) async fn list_with_version(
        &self,
        what: What,
        namespace: Option<&str>,
        selector: &Selector,
    ) -> Result<Listed, RequestError> {
        let asked = Asked::new("list", what, namespace);
        let requests = Cluster::requests(what, namespace);
        let mut params = selector.params();
        if what.is_namespaced() && namespace.is_none() {
            params.resource_version = Some("0".to_owned());
        } else {
            params.limit = Some(PAGE);
        }
        let mut items = Vec::new();
        loop {
            let mut page = self.call(asked, requests.list(&params)).await?.body;
            let version = text(&page, "/metadata/resourceVersion");
            let token = text(&page, "/metadata/continue");
            if let Some(Value::Array(found)) = page.get_mut("items").map(Value::take) {
                items.extend(found.into_iter().map(|item| typed(item, what)));
            }
            if items.len() > MOST {
                return Err(RequestError::Other {
                    doing: asked.doing(),
                    code: None,
                    message: format!("there are more than {MOST}; name a namespace or a selector"),
                });
            }
            if token.is_empty() {
                return Ok(Listed { items, version });
            }
            params.continue_token = Some(token);
        }
    }

    /// What was perhaps meant. What may not be listed is left out.
    async fn hints(&self, what: What, namespace: Option<&str>, name: &str) -> Hints {
        let all = ListParams::default();
        let names = self.names(what, namespace, &all).await;
        let mut hints = Hints::default();
        if let (Some(namespace), true) = (namespace, names.is_empty() && what.is_namespaced()) {
            // A namespace that is not there answers as an empty one does.
            let namespaces = self.names(What::Namespace, None, &all).await;
            let mut known = namespaces.iter().map(|(_, it)| it.as_str());
            if !namespaces.is_empty() && !known.any(|it| it == namespace) {
                hints.near = near(namespace, namespaces.iter().map(|(_, it)| it.as_str()));
                hints.no_namespace = true;
            }
        }
        if !hints.no_namespace {
            hints.near = near(name, names.iter().map(|(_, it)| it.as_str()));
        }
        if what.is_namespaced() && namespace.is_some() {
            let same = self.names(what, None, &Selector::name(name).params()).await;
            hints.elsewhere = same.into_iter().map(|(namespace, _)| namespace).collect();
            hints.elsewhere.sort();
            hints.elsewhere.truncate(SHOWN);
        }
        hints
    }

    /// Namespace and name of up to a page of objects; none when they may not be listed.
    async fn names(
        &self,
        what: What,
        namespace: Option<&str>,
        params: &ListParams,
    ) -> Vec<(String, String)> {
        let asked = Asked::new("list", what, namespace);
        let params = ListParams {
            limit: Some(PAGE),
            ..params.clone()
        };
        let request = Cluster::requests(what, namespace).list_metadata(&params);
        let Ok(answer) = self.call(asked, request).await else {
            return Vec::new();
        };
        let items = answer.body["items"].as_array().cloned().unwrap_or_default();
        items
            .iter()
            .map(|it| (text(it, "/metadata/namespace"), text(it, "/metadata/name")))
            .collect()
    }
}

/// A list, and the version at which it was true.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) items: Vec<Value>,
    pub(crate) version: String,
}

/// Items of a list come without their type.
pub(crate) fn typed(mut item: Value, what: What) -> Value {
    if item.is_object() {
        item["apiVersion"] = Value::from(what.api_version());
        item["kind"] = Value::from(what.kind());
    }
    item
}

/// The text at a pointer; empty where there is none.
pub(crate) fn text(value: &Value, pointer: &str) -> String {
    let text = value.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Asked as Request, Reply, object, run, status};
    use serde_json::json;

    #[test]
    fn a_list_in_a_namespace_is_read_page_by_page() {
        let (cluster, record) = fake::cluster(|asked: &Request| {
            let (items, token) = match asked.path.contains("continue=more") {
                false => (json!([object("a", "1")]), "more"),
                true => (json!([object("b", "2")]), ""),
            };
            let metadata = json!({"resourceVersion": "9", "continue": token});
            Reply::Json(200, json!({"metadata": metadata, "items": items}))
        });
        let selector = Selector::labels("app=a,tier in (x)");
        let found = run(cluster.list(What::Pod, Some("n"), &selector)).unwrap();
        let names: Vec<String> = found.iter().map(|it| text(it, "/metadata/name")).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(found[0]["kind"], "Pod");
        let asked = record.lock().unwrap();
        assert_eq!(asked.len(), 2);
        let first = &asked[0].path;
        assert!(first.starts_with("/api/v1/namespaces/n/pods?"), "{first}");
        assert!(first.contains("limit=500"), "{first}");
        assert!(
            first.contains("labelSelector=app%3Da%2Ctier+in+%28x%29"),
            "{first}"
        );
        assert!(
            !first.contains("resourceVersion"),
            "as new as it can be: {first}"
        );
    }

    #[test]
    fn a_list_over_all_namespaces_costs_etcd_nothing() {
        let (cluster, record) = fake::cluster(|_| fake::list("9", &[]));
        run(cluster.list(What::Ingress, None, &Selector::all())).unwrap();
        let asked = record.lock().unwrap();
        let path = &asked[0].path;
        assert!(
            path.starts_with("/apis/networking.k8s.io/v1/ingresses?"),
            "{path}"
        );
        assert!(
            path.contains("resourceVersion=0") && !path.contains("limit"),
            "{path}"
        );
    }

    #[test]
    fn a_list_without_end_is_given_up() {
        let (cluster, _) = fake::cluster(|_| {
            let items = vec![json!({}); 500];
            let metadata = json!({"resourceVersion": "9", "continue": "more"});
            Reply::Json(200, json!({"metadata": metadata, "items": items}))
        });
        let error = run(cluster.list(What::Pod, Some("n"), &Selector::all())).unwrap_err();
        assert!(error.to_string().contains("more than 50000"), "{error}");
    }

    fn missing(names: &[&str], elsewhere: &[&str], namespaces: &[&str]) -> String {
        let items = |names: &[&str]| names.iter().map(|it| object(it, "1")).collect::<Vec<_>>();
        let (names, namespaces) = (items(names), items(namespaces));
        let elsewhere: Vec<Value> = elsewhere
            .iter()
            .map(|it| json!({"metadata": {"name": "infer", "namespace": it}}))
            .collect();
        let (cluster, _) = fake::cluster(move |asked: &Request| {
            if asked.path.contains("/ingresses/infer") {
                return status(404, "NotFound", "ingresses \"infer\" not found", "infer");
            }
            if asked.path.starts_with("/api/v1/namespaces?") {
                return fake::list("1", &namespaces);
            }
            if asked.path.contains("fieldSelector=metadata.name%3Dinfer") {
                return fake::list("1", &elsewhere);
            }
            fake::list("1", &names)
        });
        run(cluster.get(What::Ingress, Some("n"), "infer"))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn what_is_not_there_is_answered_with_what_was_perhaps_meant() {
        assert_eq!(
            missing(&["inferr", "shop"], &[], &["n"]),
            "there is no ingresses.networking.k8s.io \"infer\" in namespace n\n  \
             = help: did you mean inferr?\n  \
             = help: `kubectl get ingresses.networking.k8s.io -n n` lists them"
        );
        let other = missing(&["shop"], &["prod"], &["n"]);
        assert!(
            other.contains("in namespace prod: add `-n prod`"),
            "{other}"
        );
        assert!(!other.contains("did you mean"), "{other}");
        let nowhere = missing(&[], &[], &["nn", "default"]);
        assert!(
            nowhere.starts_with("there is no namespace n\n"),
            "{nowhere}"
        );
        assert!(nowhere.contains("did you mean nn?"), "{nowhere}");
        let empty = missing(&[], &[], &["n", "default"]);
        assert!(empty.starts_with("there is no ingresses"), "{empty}");
    }

    #[test]
    fn a_word_that_would_change_the_path_is_not_sent() {
        let (cluster, record) = fake::cluster(|_| fake::list("1", &[]));
        for name in ["", "..", "a/b", "a?b", "a b", "a%2f"] {
            let error = run(cluster.get(What::Pod, Some("n"), name)).unwrap_err();
            assert!(error.to_string().contains("is no name"), "{error}");
        }
        let error = run(cluster.list(What::Pod, Some("a/../b"), &Selector::all())).unwrap_err();
        assert!(error.to_string().contains("is no namespace"), "{error}");
        assert!(record.lock().unwrap().is_empty());
    }
}
