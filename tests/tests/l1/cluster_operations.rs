//! What commands ask of a cluster, against a real API server: its refusals, its conflicts, its
//! clock. There is no kubelet here, so logs and exec are tried on a node.

use infer_cluster::endpoints::History;
use infer_cluster::{
    Access, Cluster, ConnectionOptions, Feed, Happened, LeaseError, RequestError, Selector, What,
};
use infer_tests::space::Space;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// Longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(20);

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ended = runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await });
    ended.expect("a test of the cluster ends within 20 s")
}

fn options(space: &Space) -> ConnectionOptions {
    ConnectionOptions {
        kubeconfig: Some(space.lab.kubeconfig.clone()),
        namespace: Some(space.name.clone()),
        ..ConnectionOptions::default()
    }
}

async fn connect(space: &Space) -> Cluster {
    Cluster::connect(&options(space)).await.unwrap()
}

/// As a service account that has these rules in its namespace.
async fn as_account(space: &Space, account: &str, rules: &str) -> Cluster {
    space.apply(&format!(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {account}}}\n"
    ));
    grant(space, account, rules);
    let token = space.run(&["create", "token", account], "").stdout;
    let options = ConnectionOptions {
        token: Some(String::from_utf8(token).unwrap().trim().to_owned()),
        ..options(space)
    };
    Cluster::connect(&options).await.unwrap()
}

fn grant(space: &Space, account: &str, rules: &str) {
    space.apply(&format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: {account}}}\n\
         rules:\n{rules}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: {account}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {account}}}\n\
         subjects: [{{kind: ServiceAccount, name: {account}}}]\n"
    ));
}

fn ingress(name: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}}}\n\
         spec: {{rules: [{{host: infer.local, http: {{paths: [{{path: /, pathType: Prefix, \
         backend: {{service: {{name: a, port: {{number: 80}}}}}}}}]}}}}]}}\n"
    )
}

/// A pod; on a node that is not there, it waits for a kubelet to end it.
fn pod(name: &str, on_a_node: bool) -> String {
    let node = if on_a_node { "nodeName: nowhere, " } else { "" };
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: a}}}}\n\
         spec: {{{node}automountServiceAccountToken: false, terminationGracePeriodSeconds: 9, \
         containers: [{{name: c, image: x}}]}}\n"
    )
}

#[test]
fn a_lease_is_taken_held_renewed_and_given_back() {
    let Some(space) = Space::plain("lease") else {
        return;
    };
    run(async {
        let cluster = connect(&space).await;
        let mut first = cluster.lease(&space.name, "drill-a", "first", 30);
        let mut second = cluster.lease(&space.name, "drill-a", "second", 30);
        first.acquire().await.unwrap();
        first.renew().await.unwrap();
        // A run that is started again is the same holder.
        first.acquire().await.unwrap();
        let error = second.acquire().await.unwrap_err();
        let LeaseError::Held {
            by, since, until, ..
        } = &error
        else {
            panic!("{error:?}")
        };
        assert_eq!(by, "first");
        assert!(since < until, "{error}");
        assert!(
            error
                .to_string()
                .contains("kubectl get lease drill-a -n lease"),
            "{error}"
        );
        second.release().await.unwrap();
        let stored = space.get("lease/drill-a");
        assert_eq!(
            stored["spec"]["holderIdentity"], "first",
            "not the second's to give back"
        );
        first.release().await.unwrap();
        let found = cluster
            .list(What::Lease, Some(&space.name), &Selector::all())
            .await
            .unwrap();
        assert!(found.is_empty(), "the cluster is as it was: {found:?}");
        second.acquire().await.unwrap();
        second.release().await.unwrap();
    });
}

#[test]
fn a_lease_of_a_run_that_died_expires() {
    let Some(space) = Space::plain("lease-expired") else {
        return;
    };
    run(async {
        let cluster = connect(&space).await;
        let mut dead = cluster.lease(&space.name, "l", "dead", 1);
        let mut next = cluster.lease(&space.name, "l", "next", 30);
        dead.acquire().await.unwrap();
        assert!(next.acquire().await.is_err(), "not yet");
        let since = Instant::now();
        while next.acquire().await.is_err() {
            assert!(since.elapsed() < Duration::from_secs(5), "it never expires");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let stored = space.get("lease/l");
        assert_eq!(stored["spec"]["holderIdentity"], "next");
        assert_eq!(stored["spec"]["leaseTransitions"], 1);
        let error = dead.renew().await.unwrap_err();
        assert!(
            matches!(error, LeaseError::Lost { by: Some(_), .. }),
            "{error}"
        );
    });
}

#[test]
fn without_the_right_to_delete_a_lease_it_is_given_back_empty() {
    let Some(space) = Space::plain("lease-no-delete") else {
        return;
    };
    run(async {
        let rules = "- {apiGroups: [coordination.k8s.io], resources: [leases], \
                     verbs: [get, create, update]}";
        let cluster = as_account(&space, "driller", rules).await;
        let mut lease = cluster.lease(&space.name, "l", "me", 30);
        lease.acquire().await.unwrap();
        lease.release().await.unwrap();
        assert_eq!(space.get("lease/l")["spec"].get("holderIdentity"), None);
        cluster
            .lease(&space.name, "l", "next", 30)
            .acquire()
            .await
            .unwrap();
    });
}

#[test]
fn a_pod_that_was_replaced_is_not_deleted() {
    let Some(space) = Space::plain("deletion") else {
        return;
    };
    run(async {
        let cluster = connect(&space).await;
        space.apply(&pod("a", true));
        let uid = space.get("pod/a")["metadata"]["uid"].clone();
        let uid = uid.as_str().unwrap();
        let delete = |uid: &'static str, dry_run| {
            let cluster = cluster.clone();
            let namespace = space.name.clone();
            async move {
                cluster
                    .delete_pod(&namespace, "a", uid, None, dry_run)
                    .await
            }
        };
        let error = delete("00000000-0000-0000-0000-000000000000", false)
            .await
            .unwrap_err();
        assert!(
            matches!(error, RequestError::Conflict { exists: false, .. }),
            "{error:?}"
        );
        assert!(
            error.to_string().contains("the UID in the precondition"),
            "{error}"
        );
        let name = &space.name;
        let tried = cluster
            .delete_pod(name, "a", uid, None, true)
            .await
            .unwrap();
        assert!(tried.is_dry_run);
        assert_eq!(
            space.get("pod/a")["metadata"].get("deletionTimestamp"),
            None
        );
        let deleted = cluster
            .delete_pod(name, "a", uid, None, false)
            .await
            .unwrap();
        assert_eq!(deleted.grace, Some(9), "the pod's own");
        assert!(deleted.pod["metadata"]["deletionTimestamp"].is_string());
        let gone = cluster
            .delete_pod(name, "a", uid, Some(0), false)
            .await
            .unwrap();
        assert_eq!(gone.grace.unwrap_or(0), 0, "{gone:?}");
        let error = cluster.get(What::Pod, Some(name), "a").await.unwrap_err();
        assert!(matches!(error, RequestError::NotFound { .. }), "{error:?}");
    });
}

#[test]
fn a_refusal_names_the_rule_and_the_rule_is_enough() {
    let Some(space) = Space::plain("partial-rbac") else {
        return;
    };
    run(async {
        space.apply(&ingress("there"));
        let rule = "- {apiGroups: [networking.k8s.io], resources: [ingresses], verbs: [get]}";
        let cluster = as_account(&space, "reader", rule).await;
        let namespace = Some(space.name.as_str());
        cluster
            .get(What::Ingress, namespace, "there")
            .await
            .unwrap();
        // What may not be listed cannot be hinted at.
        let error = cluster
            .get(What::Ingress, namespace, "ther")
            .await
            .unwrap_err();
        let RequestError::NotFound { hints, .. } = &error else {
            panic!("{error:?}")
        };
        assert!(hints.near.is_empty(), "{error}");

        let rights = [
            Access::new("get", What::Ingress, namespace),
            Access::new("list", What::Ingress, namespace),
            Access::new("get", What::Pod, namespace).subresource("log"),
            Access::new("get", What::Node, None),
        ];
        let answers = cluster.allowed(&rights).await.unwrap();
        let allowed: Vec<bool> = answers.iter().map(|(_, allowed)| *allowed).collect();
        assert_eq!(allowed, [true, false, false, false]);

        let mut rules = rule.to_owned();
        let uid = "00000000-0000-0000-0000-000000000000";
        for _ in 0..3 {
            let listed = cluster
                .list(What::Ingress, namespace, &Selector::all())
                .await;
            let deleted = cluster.delete_pod(&space.name, "a", uid, None, true).await;
            let refused = [listed.err(), deleted.err()];
            let refused = refused.iter().flatten();
            let Some(error) = refused
                .clone()
                .find(|it| matches!(it, RequestError::Forbidden { .. }))
            else {
                break;
            };
            let text = error.to_string();
            assert!(
                text.contains("system:serviceaccount:partial-rbac:reader"),
                "{text}"
            );
            let (_, rest) = text
                .split_once("Role in namespace partial-rbac and bind it: ")
                .unwrap();
            rules.push('\n');
            rules.push_str(rest.lines().next().unwrap());
            grant(&space, "reader", &rules);
            // The line of kubectl agrees, as soon as the API server has seen the rule.
            let (_, rest) = text.split_once("`kubectl ").unwrap();
            let line = rest.split('`').next().unwrap();
            let account = "--as=system:serviceaccount:partial-rbac:reader";
            let arguments: Vec<&str> = line.split(' ').chain([account]).collect();
            let since = Instant::now();
            while !space
                .lab
                .kubectl(&arguments)
                .output()
                .unwrap()
                .status
                .success()
            {
                assert!(since.elapsed() < Duration::from_secs(5), "{line} says no");
            }
        }
        cluster
            .list(What::Ingress, namespace, &Selector::all())
            .await
            .unwrap();
        let error = cluster
            .delete_pod(&space.name, "a", uid, None, true)
            .await
            .unwrap_err();
        assert!(matches!(error, RequestError::NotFound { .. }), "{error:?}");
        assert_eq!(rules.lines().count(), 3, "{rules}");
    });
}

#[test]
fn a_person_without_rights_may_not_act_as_another() {
    let Some(space) = Space::plain("impersonation") else {
        return;
    };
    run(async {
        let rules = "- {apiGroups: [''], resources: [pods], verbs: [get]}";
        drop(as_account(&space, "nobody", rules).await);
        let token = space.run(&["create", "token", "nobody"], "").stdout;
        let options = ConnectionOptions {
            token: Some(String::from_utf8(token).unwrap().trim().to_owned()),
            as_user: Some("admin".to_owned()),
            ..options(&space)
        };
        let cluster = Cluster::connect(&options).await.unwrap();
        let error = cluster
            .get(What::Pod, Some(&space.name), "a")
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("not allowed to impersonate users in the cluster"),
            "{text}"
        );
        let (_, rule) = text.split_once("ClusterRole and bind it: ").unwrap();
        space.apply(&format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\n\
             metadata: {{name: impersonation}}\nrules:\n{}\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\n\
             metadata: {{name: impersonation}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: impersonation}}\n\
             subjects: [{{kind: ServiceAccount, name: nobody, namespace: impersonation}}]\n",
            rule.lines().next().unwrap()
        ));
        let since = Instant::now();
        loop {
            let error = cluster.get(What::Pod, Some(&space.name), "a").await;
            let text = error.unwrap_err().to_string();
            if !text.contains("impersonate") {
                assert!(text.contains("User \"admin\" cannot get"), "{text}");
                break;
            }
            assert!(since.elapsed() < Duration::from_secs(5), "{text}");
        }
    });
}

#[test]
fn what_is_not_there_is_answered_with_what_is_near() {
    let Some(space) = Space::plain("near-names") else {
        return;
    };
    run(async {
        space.apply(&ingress("lonely-ingress"));
        let cluster = connect(&space).await;
        let error = |namespace: &'static str, name: &'static str| {
            let cluster = cluster.clone();
            async move {
                let error = cluster.get(What::Ingress, Some(namespace), name).await;
                error.unwrap_err().to_string()
            }
        };
        let near = error("near-names", "lonely-ingres").await;
        assert!(near.contains("did you mean lonely-ingress?"), "{near}");
        let elsewhere = error("default", "lonely-ingress").await;
        assert!(elsewhere.contains("add `-n near-names`"), "{elsewhere}");
        let nowhere = error("near-nmes", "lonely-ingress").await;
        assert!(
            nowhere.starts_with("there is no namespace near-nmes\n"),
            "{nowhere}"
        );
        assert!(nowhere.contains("did you mean near-names?"), "{nowhere}");
    });
}

/// The next news of an object.
async fn next(feed: &mut Feed<infer_cluster::Change>) -> (Happened, Value, Instant) {
    let change = feed.next().await.expect("the feed goes on");
    (change.what, change.object, change.at)
}

#[test]
fn what_changes_is_told_when_it_does() {
    let Some(space) = Space::plain("follow") else {
        return;
    };
    run(async {
        let cluster = connect(&space).await;
        space.apply(&pod("before", false));
        let selector = Selector::labels("app=a");
        let mut feed = cluster.follow(What::Pod, Some(&space.name), &selector);
        let (what, object, _) = next(&mut feed).await;
        assert_eq!(
            (what, &object["metadata"]["name"]),
            (Happened::Appeared, &json!("before"))
        );
        assert_eq!(object["kind"], "Pod");
        assert_eq!(next(&mut feed).await.0, Happened::Listed);
        let before = Instant::now();
        space.apply(&pod("after", false));
        let after = Instant::now();
        // Nobody reads meanwhile; the stamp is of the arrival all the same.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (what, object, at) = next(&mut feed).await;
        assert_eq!(
            (what, &object["metadata"]["name"]),
            (Happened::Appeared, &json!("after"))
        );
        let late = at.saturating_duration_since(after);
        assert!(
            at >= before && late < Duration::from_millis(300),
            "{late:?} late"
        );
        space.ok(&["annotate", "pod/after", "x=y"], "");
        assert_eq!(next(&mut feed).await.0, Happened::Changed);
        // One that the selector does not take any more is gone.
        space.ok(&["label", "pod/after", "app-"], "");
        assert_eq!(next(&mut feed).await.0, Happened::Gone);
        space.ok(&["delete", "pod", "before", "--wait=false"], "");
        // First it is marked, then it is gone.
        let mut what = next(&mut feed).await.0;
        if what == Happened::Changed {
            what = next(&mut feed).await.0;
        }
        assert_eq!(what, Happened::Gone);
    });
}

#[test]
fn the_history_of_a_service_is_what_its_slices_said() {
    let Some(space) = Space::plain("history") else {
        return;
    };
    run(async {
        let slice = |ready: bool| {
            format!(
                "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n\
                 metadata: {{name: a, labels: {{kubernetes.io/service-name: a}}}}\n\
                 ports: [{{port: 8080}}]\n\
                 endpoints: [{{addresses: [10.244.0.7], conditions: {{ready: {ready}}}, \
                 targetRef: {{kind: Pod, name: one}}}}]\n"
            )
        };
        let cluster = connect(&space).await;
        space.apply(&slice(true));
        let selector = Selector::slices_of("a");
        let mut feed = cluster.follow(What::EndpointSlice, Some(&space.name), &selector);
        let mut history = History::new();
        let mut stamps = Vec::new();
        for what in ["", "", "unready", "gone"] {
            match what {
                "unready" => drop(space.apply(&slice(false))),
                "gone" => drop(space.ok(&["delete", "endpointslice", "a"], "")),
                _ => {}
            }
            let change = feed.next().await.unwrap();
            stamps.push(change.at);
            history.apply(&change);
        }
        let ready: Vec<usize> = history.counts().iter().map(|(_, it)| it.ready).collect();
        assert_eq!(ready, [1, 0]);
        assert_eq!(history.who("10.244.0.7:8080", stamps[0]), Some("one"));
        assert_eq!(
            history.who("10.244.0.7:8080", Instant::now()),
            Some("one"),
            "its last holder"
        );
        assert_eq!(history.of_pod("one").len(), 3, "ready, not ready, gone");
    });
}

#[test]
fn a_watch_that_is_forbidden_says_so_and_ends() {
    let Some(space) = Space::plain("forbidden-watch") else {
        return;
    };
    run(async {
        let rules = "- {apiGroups: [''], resources: [pods], verbs: [list]}";
        let cluster = as_account(&space, "lister", rules).await;
        let mut feed = cluster.follow(What::Pod, Some(&space.name), &Selector::all());
        assert_eq!(next(&mut feed).await.0, Happened::Listed);
        let Happened::Interrupted(why) = next(&mut feed).await.0 else {
            panic!("an interruption")
        };
        assert!(
            why.starts_with("not allowed to watch pods in namespace forbidden-watch"),
            "{why}"
        );
        assert!(feed.next().await.is_none());
    });
}

#[test]
fn a_server_that_does_not_answer_is_told_within_the_timeout() {
    let Some(space) = Space::plain("no-answer") else {
        return;
    };
    run(async {
        // It takes the connection and says nothing.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let limit = Duration::from_millis(700);
        let options = |scheme: &str, address: &str| ConnectionOptions {
            server: Some(format!("{scheme}://{address}")),
            token: Some("s3cret".to_owned()),
            insecure_skip_tls_verify: true,
            request_timeout: Some(limit),
            ..options(&space)
        };
        for scheme in ["http", "https"] {
            let connection = options(scheme, &address.to_string());
            let cluster = Cluster::connect(&connection).await.unwrap();
            let since = Instant::now();
            let error = cluster
                .get(What::Ingress, Some("n"), "a")
                .await
                .unwrap_err();
            assert!(since.elapsed() < 2 * limit, "{:?}", since.elapsed());
            let text = format!("{error} {error:?} {connection:?} {cluster:?}");
            assert!(text.contains(&format!("{scheme}://{address}")), "{text}");
            assert!(text.contains("kubectl cluster-info"), "{text}");
            assert!(!text.contains("s3cret"), "{text}");
            assert!(error.is_passing());
        }
        drop(silent);
        let connection = options("http", &address.to_string());
        let cluster = Cluster::connect(&connection).await.unwrap();
        let error = cluster
            .get(What::Ingress, Some("n"), "a")
            .await
            .unwrap_err();
        assert!(
            matches!(error, RequestError::Unreachable { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("Connection refused"), "{error}");
    });
}

#[test]
fn a_wrong_token_is_unauthorized_and_not_shown() {
    let Some(space) = Space::plain("wrong-token") else {
        return;
    };
    run(async {
        let options = ConnectionOptions {
            token: Some("s3cret".to_owned()),
            ..options(&space)
        };
        let cluster = Cluster::connect(&options).await.unwrap();
        let error = cluster.get(What::Pod, Some("n"), "a").await.unwrap_err();
        assert!(
            matches!(error, RequestError::Unauthorized { .. }),
            "{error:?}"
        );
        assert!(!error.to_string().contains("s3cret"), "{error}");
        assert!(error.to_string().contains("kubectl auth whoami"), "{error}");
    });
}
