use super::*;
use crate::fake::{self, Reply, run, status};
use crate::lease::tests::{Storage, cluster, held};
use std::sync::atomic::{AtomicBool, Ordering};

fn journal(cluster: &Cluster, holder: &str) -> Journal {
    cluster.journal("n", "l", holder, 30)
}

fn annotation_of(storage: &Storage, key: &str) -> Option<String> {
    let stored = storage.lock().unwrap();
    annotation(stored.0.as_ref().unwrap(), key)
}

/// One of another's, whose answers are of 12:00:00.
fn of_other(renewed: &str) -> Value {
    let mut object = held("other", renewed);
    object["metadata"]["annotations"] = json!({JOURNAL: "theirs", "a": "b"});
    object
}

#[test]
fn a_new_one_is_taken_written_renewed_released_and_still_read() {
    let (cluster, record, storage) = cluster(None, true);
    let mut ours = journal(&cluster, "me");
    assert_eq!(run(ours.read()).unwrap(), None);
    let taken = run(ours.acquire("first")).unwrap();
    assert_eq!(taken.text.as_deref(), Some("first"));
    assert_eq!(taken.holder.as_deref(), Some("me"));
    assert_eq!((taken.wish.as_deref(), taken.is_held()), (None, true));
    assert_eq!(taken.until.as_deref(), Some("2026-11-25T12:00:30Z"));
    {
        let asked = record.lock().unwrap();
        let made = asked.iter().find(|it| it.method == "POST").unwrap();
        assert_eq!(made.body["metadata"]["name"], "infer-canary-l");
        assert_eq!(made.body["metadata"]["labels"][CANARY_OF], "l");
        assert_eq!(made.body["metadata"]["annotations"][JOURNAL], "first");
    }
    run(ours.write("second")).unwrap();
    assert_eq!(annotation_of(&storage, JOURNAL).as_deref(), Some("second"));
    assert_eq!(run(ours.renew()).unwrap().text.as_deref(), Some("second"));
    run(ours.release()).unwrap();
    let left = run(ours.read()).unwrap().unwrap();
    assert_eq!((left.holder, left.until), (None, None));
    assert_eq!(left.text.as_deref(), Some("second"), "kept for reports");
    assert!(!left.expired);
    let again = run(journal(&cluster, "next").acquire("third")).unwrap();
    assert_eq!(again.text.as_deref(), Some("second"), "what is there stays");
    let refused = run(ours.remove()).unwrap_err();
    assert!(matches!(refused, LeaseError::Held { .. }), "{refused:?}");
    run(journal(&cluster, "next").remove()).unwrap();
    assert!(storage.lock().unwrap().0.is_none());
}

#[test]
fn one_that_another_holds_is_refused_and_anyone_may_read_it() {
    let (cluster, _, storage) = cluster(Some(of_other("2026-11-25T11:59:45Z")), true);
    let mut ours = journal(&cluster, "me");
    let refused = run(ours.acquire("mine")).unwrap_err().to_string();
    assert!(
        refused.starts_with("another run holds lease/infer-canary-l in namespace n: other"),
        "{refused}"
    );
    let read = run(ours.read()).unwrap().unwrap();
    assert_eq!(read.text.as_deref(), Some("theirs"));
    assert!(read.is_held() && !read.expired);
    let lost = run(ours.write("mine")).unwrap_err();
    assert!(
        matches!(&lost, LeaseError::Lost { by: Some(by), .. } if by == "other"),
        "{lost:?}"
    );
    assert_eq!(annotation_of(&storage, JOURNAL).as_deref(), Some("theirs"));
}

#[test]
fn one_that_expired_is_taken_over_with_its_journal() {
    let (cluster, _, storage) = cluster(Some(of_other("2026-11-25T11:59:29Z")), true);
    let mut ours = journal(&cluster, "me");
    assert!(run(ours.read()).unwrap().unwrap().expired);
    let taken = run(ours.acquire("mine")).unwrap();
    assert_eq!(taken.text.as_deref(), Some("theirs"));
    assert_eq!(annotation_of(&storage, "a").as_deref(), Some("b"));
    run(ours.write("mine")).unwrap();
    assert_eq!(annotation_of(&storage, JOURNAL).as_deref(), Some("mine"));
}

#[test]
fn a_wish_of_anyone_reaches_the_holder_and_is_taken_away_once_heard() {
    let (cluster, _, storage) = cluster(None, true);
    let mut ours = journal(&cluster, "me");
    let anyone = journal(&cluster, "anyone");
    let none = run(anyone.wish("abort")).unwrap_err();
    assert!(matches!(none, RequestError::NotFound { .. }), "{none:?}");
    run(ours.acquire("first")).unwrap();
    let wished = run(anyone.wish("abort")).unwrap();
    assert_eq!(wished.holder.as_deref(), Some("me"), "not taken");
    assert_eq!(run(ours.renew()).unwrap().wish.as_deref(), Some("abort"));
    run(ours.write("second")).unwrap();
    assert_eq!(annotation_of(&storage, WISH).as_deref(), Some("abort"));
    run(anyone.wish("promote")).unwrap();
    let left = run(ours.clear_wish("abort")).unwrap();
    assert_eq!(left.wish.as_deref(), Some("promote"), "a later one stays");
    assert_eq!(run(ours.clear_wish("promote")).unwrap().wish, None);
}

#[test]
fn a_wish_that_comes_between_our_read_and_our_write_survives() {
    let once = AtomicBool::new(false);
    let storage = std::sync::Mutex::new((of_other("2026-11-25T12:00:00Z"), 1_u64));
    let (cluster, _) = fake::cluster(move |asked| {
        let (object, version) = &mut *storage.lock().unwrap();
        match asked.method.as_str() {
            "PUT" if !once.swap(true, Ordering::Relaxed) => {
                *version += 1;
                object["metadata"]["resourceVersion"] = Value::from(version.to_string());
                object["metadata"]["annotations"][WISH] = Value::from("pause");
                status(409, "Conflict", "modified", "l")
            }
            "PUT" => {
                assert_eq!(asked.body["metadata"]["resourceVersion"], "2");
                *object = asked.body.clone();
                Reply::Json(200, object.clone())
            }
            _ => Reply::Json(200, object.clone()),
        }
    });
    let written = run(journal(&cluster, "other").write("mine")).unwrap();
    assert_eq!(written.wish.as_deref(), Some("pause"));
    assert_eq!(written.text.as_deref(), Some("mine"));
}

#[test]
fn a_journal_that_does_not_fit_is_not_sent() {
    let (cluster, record, _) = cluster(None, true);
    let text = "x".repeat(LARGEST_JOURNAL + 1);
    let error = run(journal(&cluster, "me").write(&text)).unwrap_err();
    assert!(
        error.to_string().contains("200001 bytes; at most 200000"),
        "{error}"
    );
    assert!(record.lock().unwrap().is_empty());
}
