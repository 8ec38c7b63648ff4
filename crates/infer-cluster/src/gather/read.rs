//! The calls: counted, bounded, and each failure a gap.

use super::{Gap, Gathered, MOST_CALLS, Missing};
use crate::access::Access;
use crate::call::Asked;
use crate::connection::Cluster;
use crate::objects::{Selector, text, typed};
use crate::request_error::RequestError;
use crate::what::What;
use infer_core::kind::{Kind, KindSet};
use infer_core::object;
use serde_json::Value;
use std::cell::RefCell;
use std::sync::Arc;

/// Objects of one list: what is more is not read, and a gap says so.
const PAGE: u32 = 500;

/// What is read so far.
pub(super) struct Reading<'c> {
    cluster: &'c Cluster,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    objects: Vec<Arc<Value>>,
    known: KindSet,
    gaps: Vec<Gap>,
    calls: usize,
}

impl<'c> Reading<'c> {
    pub(super) fn new(cluster: &'c Cluster) -> Reading<'c> {
        Reading {
            cluster,
            state: RefCell::default(),
        }
    }

    pub(super) fn cluster(&self) -> &'c Cluster {
        self.cluster
    }

    pub(super) fn gathered(self, namespace: &str) -> Gathered {
        let mut state = self.state.into_inner();
        // Answers come in any order; what is told of them does not.
        state.objects.sort_by_cached_key(|it| {
            let place = (
                object::namespace(it).to_owned(),
                object::name(it).to_owned(),
            );
            (text(it, "/kind"), place)
        });
        state.gaps.sort_by(|left, right| {
            let key = |gap: &Gap| {
                let right = &gap.right;
                (
                    right.group.clone(),
                    right.resource.clone(),
                    right.namespace.clone(),
                )
            };
            key(left).cmp(&key(right))
        });
        Gathered {
            namespace: namespace.to_owned(),
            objects: state.objects,
            known: state.known,
            gaps: state.gaps,
            calls: state.calls,
        }
    }

    /// Says that everything the route needs of a kind was read.
    pub(super) fn know(&self, kind: Kind) {
        let mut state = self.state.borrow_mut();
        state.known = state.known.with(kind);
    }

    pub(super) fn objects(&self) -> Vec<Arc<Value>> {
        self.state.borrow().objects.clone()
    }

    /// The objects of a kind.
    pub(super) fn of(&self, what: What) -> Vec<Arc<Value>> {
        let state = self.state.borrow();
        let is = |it: &&Arc<Value>| {
            text(it, "/kind") == what.kind() && text(it, "/apiVersion") == what.api_version()
        };
        state.objects.iter().filter(is).cloned().collect()
    }

    /// An object that was read.
    pub(super) fn find(&self, what: What, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let objects = self.of(what);
        objects.into_iter().find(|it| {
            object::name(it) == name
                && (!what.is_namespaced() || object::namespace(it) == namespace)
        })
    }

    /// A subject that is in none of the lists, by its name; none for one that is in a list.
    pub(super) async fn subject(
        &self,
        what: What,
        name: &str,
    ) -> Option<Result<Arc<Value>, RequestError>> {
        let is_listed = matches!(
            what,
            What::Service | What::Ingress | What::HttpRoute | What::VirtualService
        );
        if is_listed {
            return None;
        }
        Some(self.must(what, name).await)
    }

    /// The subject by its name: without it there is nothing to say.
    pub(super) async fn must(&self, what: What, name: &str) -> Result<Arc<Value>, RequestError> {
        self.state.borrow_mut().calls += 1;
        let namespace = self.cluster.namespace();
        let object = self.cluster.get(what, Some(namespace), name).await?;
        Ok(self.take(object, what))
    }

    /// One object; whether it is there. A missing one is no gap.
    pub(super) async fn get(
        &self,
        what: What,
        namespace: &str,
        name: &str,
        about: &str,
    ) -> Option<Arc<Value>> {
        if let Some(known) = self.find(what, namespace, name) {
            return Some(known);
        }
        let namespace = Some(namespace).filter(|it| !it.is_empty());
        if !self.may_call("get", what, namespace, about) {
            return None;
        }
        match self.cluster.get_plain(what, namespace, name).await {
            Ok(object) => Some(self.take(object, what)),
            Err(RequestError::NotFound { .. }) => None,
            Err(error) => {
                self.gap("get", what, namespace, about, &error);
                None
            }
        }
    }

    /// Several objects by namespace and name. Where each could be asked for, the kind is known.
    pub(super) async fn get_each(
        &self,
        what: What,
        mut named: Vec<(String, String)>,
        most: usize,
        kind: Kind,
        about: &str,
    ) {
        named.sort();
        named.dedup();
        let before = self.state.borrow().gaps.len();
        if named.len() > most {
            let right = Access::new("get", what, named.first().map(|it| it.0.as_str()));
            self.state.borrow_mut().gaps.push(Gap {
                what: about.to_owned(),
                why: Missing::NotAsked,
                right,
                message: format!("{} are named, {most} were read", named.len()),
            });
        }
        for (namespace, name) in named.iter().take(most) {
            self.get(what, namespace, name, about).await;
        }
        if self.state.borrow().gaps.len() == before {
            self.know(kind);
        }
    }

    /// The classes of the cluster.
    pub(super) async fn list_classes(&self, what: What, kind: Kind, about: &str) {
        self.list(what, "", &Selector::all(), Some(kind), about)
            .await;
    }

    /// The objects that a selector takes; whether all of them were read.
    pub(super) async fn list(
        &self,
        what: What,
        namespace: &str,
        selector: &Selector,
        kind: Option<Kind>,
        about: &str,
    ) -> bool {
        let namespace = Some(namespace).filter(|it| !it.is_empty());
        if !self.may_call("list", what, namespace, about) {
            return false;
        }
        let mut params = selector.params();
        params.limit = Some(PAGE);
        let asked = Asked::new("list", what, namespace);
        let request = Cluster::requests(what, namespace).list(&params);
        let mut page = match self.cluster.call(asked, request).await {
            Ok(answer) => answer.body,
            Err(error) => {
                self.gap("list", what, namespace, about, &error);
                // Of a kind that is not served there is no object, for certain.
                let is_served = !is_unserved(&error);
                if let (false, Some(kind)) = (is_served, kind) {
                    self.know(kind);
                }
                return false;
            }
        };
        let is_all = text(&page, "/metadata/continue").is_empty();
        if let Some(Value::Array(found)) = page.get_mut("items").map(Value::take) {
            for item in found {
                self.take(typed(item, what), what);
            }
        }
        if !is_all {
            self.state.borrow_mut().gaps.push(Gap {
                what: about.to_owned(),
                why: Missing::NotAsked,
                right: Access::new("list", what, namespace),
                message: format!("there are more than {PAGE}; the first {PAGE} were read"),
            });
        } else if let Some(kind) = kind {
            self.know(kind);
        }
        is_all
    }

    /// Keeps an object once.
    fn take(&self, object: Value, what: What) -> Arc<Value> {
        let known = self.find(what, object::namespace(&object), object::name(&object));
        if let Some(known) = known {
            return known;
        }
        let object = Arc::new(object);
        self.state.borrow_mut().objects.push(Arc::clone(&object));
        object
    }

    /// Counts a call; where there may be no more, that is a gap.
    fn may_call(&self, verb: &str, what: What, namespace: Option<&str>, about: &str) -> bool {
        let mut state = self.state.borrow_mut();
        if state.calls < MOST_CALLS {
            state.calls += 1;
            return true;
        }
        state.gaps.push(Gap {
            what: about.to_owned(),
            why: Missing::NotAsked,
            right: Access::new(verb, what, namespace),
            message: format!("{MOST_CALLS} calls were made for this route already"),
        });
        false
    }

    fn gap(
        &self,
        verb: &str,
        what: What,
        namespace: Option<&str>,
        about: &str,
        error: &RequestError,
    ) {
        let own = Access::new(verb, what, namespace);
        let (why, right) = match error {
            RequestError::Forbidden { right, .. } => (Missing::Forbidden, (**right).clone()),
            error if is_unserved(error) => (Missing::NotServed, own),
            RequestError::TimedOut { .. } => (Missing::TimedOut, own),
            _ => (Missing::Failed, own),
        };
        self.state.borrow_mut().gaps.push(Gap {
            what: about.to_owned(),
            why,
            right,
            message: error.message(),
        });
    }
}

/// Whether the API server does not serve the kind. A list has no name that could be missing.
fn is_unserved(error: &RequestError) -> bool {
    matches!(
        error,
        RequestError::NotServed { .. } | RequestError::NotFound { .. }
    )
}
