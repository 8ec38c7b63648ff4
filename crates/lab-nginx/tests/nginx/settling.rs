//! One Ingress that NGINX refuses holds up nobody else. NGINX is played by a closure here.

use crate::objects::{ingress, objects, settings};
use k8s_openapi::api::networking::v1::Ingress;
use lab_nginx::Error;
use lab_nginx::forms::{Forms, Settled, Verdict};
use lab_nginx::render::{Objects, Rendered};
use std::sync::Arc;

/// Forms, and a judge that refuses `bad` anywhere in the text and counts what it is asked.
#[derive(Default)]
struct Desk {
    forms: Forms,
    asked: usize,
}

impl Desk {
    fn settle(&mut self, objects: &Objects) -> Result<Settled, Error> {
        let Desk { forms, asked } = self;
        let mut judge = async |rendered: &Rendered| {
            *asked += 1;
            if rendered.text.contains("bad") {
                Ok(Verdict::Refused("invalid value \"bad\"".to_owned()))
            } else {
                Ok(Verdict::Accepted)
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(forms.settle(objects, &settings(), &mut judge))
    }
}

fn with_timeout(name: &str, value: &str) -> Arc<Ingress> {
    let host = format!("{name}.example");
    ingress(name, &host, &[("proxy-read-timeout", value)])
}

#[test]
fn nothing_is_asked_while_nothing_changes() {
    let mut desk = Desk::default();
    let all = objects(vec![with_timeout("a", "1h")]);
    let first = desk.settle(&all).unwrap();
    assert_eq!(desk.settle(&all).unwrap(), first);
    assert_eq!(desk.asked, 1);
    assert!(first.refused.is_empty());
}

#[test]
fn a_new_ingress_that_nginx_refuses_is_left_out_and_named() {
    let mut desk = Desk::default();
    let all = objects(vec![
        with_timeout("a", "1h"),
        with_timeout("b", "bad"),
        with_timeout("c", "2h"),
    ]);
    let settled = desk.settle(&all).unwrap();
    let text = &settled.rendered.text;
    assert!(
        text.contains("a.example") && text.contains("c.example") && !text.contains("b.example")
    );
    let [(name, why)] = Vec::from_iter(&settled.refused)[..] else {
        panic!("{:?}", settled.refused)
    };
    assert_eq!(name.to_string(), "models/b");
    assert_eq!(
        why,
        "NGINX refuses it, it is not served: invalid value \"bad\""
    );
    let asked = desk.asked;
    desk.settle(&all).unwrap();
    assert_eq!(desk.asked, asked, "not asked again about the same form");
}

#[test]
fn the_old_form_stays_while_endpoints_and_others_move_on() {
    let mut desk = Desk::default();
    let unchanged = with_timeout("c", "3h");
    let before = vec![with_timeout("a", "1h"), unchanged.clone()];
    desk.settle(&objects(before)).unwrap();
    assert_eq!(desk.asked, 1);
    let after = vec![with_timeout("a", "bad"), with_timeout("b", "2h"), unchanged];
    let mut all = objects(after);
    let settled = desk.settle(&all).unwrap();
    // All, a, b, and what is left; c is what it was.
    assert_eq!(desk.asked, 1 + 4);
    let text = &settled.rendered.text;
    assert!(text.contains("proxy_read_timeout 1h;") && text.contains("proxy_read_timeout 2h;"));
    let why = settled.refused.values().next().unwrap();
    assert!(
        why.starts_with("NGINX refuses it, its last accepted form stays in service"),
        "{why}"
    );
    all.slices.clear();
    let settled = desk.settle(&all).unwrap();
    assert!(settled.rendered.text.contains("return 503;") && settled.refused.len() == 1);
}

#[test]
fn a_repaired_ingress_is_served_again_and_a_deleted_one_is_forgotten() {
    let mut desk = Desk::default();
    desk.settle(&objects(vec![with_timeout("a", "bad")]))
        .unwrap();
    let settled = desk
        .settle(&objects(vec![with_timeout("a", "3h")]))
        .unwrap();
    assert!(settled.refused.is_empty() && settled.rendered.text.contains("proxy_read_timeout 3h;"));
    let settled = desk.settle(&objects(Vec::new())).unwrap();
    assert!(!settled.rendered.text.contains("a.example"));
    let settled = desk
        .settle(&objects(vec![with_timeout("a", "bad")]))
        .unwrap();
    assert!(
        !settled.rendered.text.contains("a.example"),
        "no old form after a deletion"
    );
}

#[test]
fn a_refusal_that_no_change_explains_leaves_everything_as_it_is() {
    let mut desk = Desk::default();
    let all = objects(vec![with_timeout("a", "1h")]);
    desk.settle(&all).unwrap();
    let mut judge = async |_: &Rendered| Ok(Verdict::Refused("no memory".to_owned()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let moved = Objects {
        slices: Vec::new(),
        ..all
    };
    let settings = settings();
    let settling = desk.forms.settle(&moved, &settings, &mut judge);
    let error = runtime.block_on(settling).unwrap_err().to_string();
    assert!(error.contains("the old one stays: no memory"), "{error}");
}

#[test]
fn a_deleted_ingress_does_not_hide_what_nginx_says_of_its_successor() {
    let mut desk = Desk::default();
    desk.settle(&objects(vec![ingress("a", "same.example", &[])]))
        .unwrap();
    // The same path of the same host, which was a's.
    let successor = ingress("b", "same.example", &[("proxy-read-timeout", "bad")]);
    let settled = desk.settle(&objects(vec![successor])).unwrap();
    let [name] = Vec::from_iter(settled.refused.keys())[..] else {
        panic!("{:?}", settled.refused)
    };
    assert_eq!(name.to_string(), "models/b");
}
