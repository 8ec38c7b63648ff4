//! What kubectl makes of a text is what we make of it: one table, asked of both.
//!
//! kubectl is `$KUBECTL`, else the one on PATH; without one its half is skipped, aloud. The table
//! was filled from kubectl 1.36.3 and holds for 1.32 too.

#![expect(clippy::print_stderr, reason = "a skipped half must be seen")]

use std::io::Write;
use std::process::{Command, Stdio};

use infer_manifest::parse;
use serde_json::{Value, json};

const HEAD: &str = "apiVersion: example.com/v1\nkind: X\nmetadata:\n  name: x\n";

/// A value as written after `v: `, and as JSON.
const VALUES: &[(&str, &str)] = &[
    // Truth, with YAML 1.1's words.
    ("yes", "true"),
    ("Yes", "true"),
    ("on", "true"),
    ("y", "true"),
    ("Y", "true"),
    ("True", "true"),
    ("NO", "false"),
    ("off", "false"),
    ("n", "false"),
    ("tRue", "\"tRue\""),
    ("'yes'", "\"yes\""),
    ("\"on\"", "\"on\""),
    // Nothing.
    ("", "null"),
    ("~", "null"),
    ("null", "null"),
    ("Null", "null"),
    ("NULL", "null"),
    ("&a", "null"),
    ("~x", "\"~x\""),
    ("''", "\"\""),
    // Whole numbers.
    ("0644", "420"),
    ("0777", "511"),
    ("-0777", "-511"),
    ("08", "8"),
    ("0_8", "8"),
    ("0", "0"),
    ("-0", "0"),
    ("+1", "1"),
    ("1_000", "1000"),
    ("1_", "1"),
    ("1__0", "10"),
    ("_1", "\"_1\""),
    ("0o14", "12"),
    ("0O17", "15"),
    ("0o8", "\"0o8\""),
    ("0b11", "3"),
    ("0B11", "3"),
    ("-0b11", "-3"),
    ("0b2", "\"0b2\""),
    ("0x1F", "31"),
    ("0X1f", "31"),
    ("+0x1F", "31"),
    ("0x", "\"0x\""),
    ("0o", "\"0o\""),
    ("0b", "\"0b\""),
    ("+", "\"+\""),
    ("--1", "\"--1\""),
    ("1,000", "\"1,000\""),
    ("1:30", "\"1:30\""),
    ("123456789012345678", "123456789012345678"),
    ("9223372036854775807", "9223372036854775807"),
    ("-9223372036854775808", "-9223372036854775808"),
    // Beyond what an i64 holds: doubles.
    ("9223372036854775808", "9223372036854775808.0"),
    ("-9223372036854775809", "-9223372036854775808.0"),
    ("18446744073709551615", "18446744073709551616.0"),
    ("0xFFFFFFFFFFFFFFFF", "18446744073709551616.0"),
    ("99999999999999999999", "100000000000000000000.0"),
    // Doubles; whole ones become whole numbers.
    ("1.0", "1"),
    ("1.", "1"),
    ("-0.0", "0"),
    ("1e3", "1000"),
    ("-1e18", "-1000000000000000000"),
    ("1234567890123456789.0", "1234567890123456800"),
    ("1e19", "1e19"),
    ("1e21", "1e21"),
    ("0.1", "0.1"),
    ("09.5", "9.5"),
    ("1_0.5", "10.5"),
    ("1_000.5_5", "1000.55"),
    (".5", "0.5"),
    ("-.5", "-0.5"),
    ("+.5", "0.5"),
    (".5_5", "0.55"),
    ("._5", "\"._5\""),
    (".5_", "\".5_\""),
    (".5e3", "500"),
    ("1e-7", "1e-7"),
    ("1e-400", "0"),
    ("1e400", "\"1e400\""),
    (".5e400", "\".5e400\""),
    ("1e", "\"1e\""),
    (".e3", "\".e3\""),
    ("0x1p3", "\"0x1p3\""),
    (".", "\".\""),
    ("..", "\"..\""),
    // Text.
    ("2001-01-01", "\"2001-01-01\""),
    ("=", "\"=\""),
    ("<<", "\"<<\""),
    ("foo\t", "\"foo\""),
    ("foo\t# c", "\"foo\""),
    ("a#b", "\"a#b\""),
    ("'it''s'", "\"it's\""),
    ("\"a\\xe9\\u00e9\\n\"", "\"aéé\\n\""),
    (">-\n  a\n  b\n\n  c", "\"a b\\nc\""),
    ("|\n  a\n  ---\n  b", "\"a\\n---\\nb\\n\""),
    ("|+\n  a\n", "\"a\\n\\n\""),
    ("|2-\n    a", "\"  a\""),
    ("a\n  b", "\"a b\""),
    // Tags.
    ("!!str 12", "\"12\""),
    ("!!str", "\"\""),
    ("! 12", "\"12\""),
    ("!!int \"12\"", "12"),
    ("!!float 1", "1"),
    ("!!bool \"yes\"", "true"),
    ("!!null \"\"", "null"),
    ("!!timestamp 2001-01-01", "\"2001-01-01\""),
    ("!!seq x", "\"x\""),
    ("!foo bar", "\"bar\""),
    // Collections.
    ("{a: b, c}", "{\"a\": \"b\", \"c\": null}"),
    ("[a, b,]", "[\"a\", \"b\"]"),
    ("{a:1}", "{\"a:1\": null}"),
    ("{\"a\":1}", "{\"a\": 1}"),
    ("[a:b]", "[\"a:b\"]"),
    ("\n- a\n-\n- - b\n  - -1\n", "[\"a\", null, [\"b\", -1]]"),
    // Keys.
    ("\n  y: z", "{\"true\": \"z\"}"),
    ("\n  n: z", "{\"false\": \"z\"}"),
    ("\n  yes: z", "{\"true\": \"z\"}"),
    ("\n  \"y\": z", "{\"y\": \"z\"}"),
    ("\n  8080: z", "{\"8080\": \"z\"}"),
    ("\n  0644: z", "{\"420\": \"z\"}"),
    ("\n  1.5: z", "{\"1.5\": \"z\"}"),
    ("\n  0.1: z", "{\"0.1\": \"z\"}"),
    ("\n  1e3: z", "{\"1000\": \"z\"}"),
    ("\n  1e6: z", "{\"1e+06\": \"z\"}"),
    ("\n  1e21: z", "{\"1e+21\": \"z\"}"),
    ("\n  1e-5: z", "{\"1e-05\": \"z\"}"),
    ("\n  +18446744073709551615: z", "{\"1.8446744e+19\": \"z\"}"),
    ("\n  1e300: z", "{\".inf\": \"z\"}"),
    ("\n  123456789.5: z", "{\"1.2345679e+08\": \"z\"}"),
    ("\n  .nan: z", "{\".nan\": \"z\"}"),
    ("\n  2001-01-01: z", "{\"2001-01-01\": \"z\"}"),
    ("\n  !!str 1: z", "{\"1\": \"z\"}"),
    ("\n  =: z", "{\"=\": \"z\"}"),
    ("\n  \"\": z", "{\"\": \"z\"}"),
    ("\n  ? a\n  : z", "{\"a\": \"z\"}"),
    // Anchors and merges, in kubectl's order.
    ("[&a {x: 1}, *a]", "[{\"x\": 1}, {\"x\": 1}]"),
    ("[&a key, {*a : 1}]", "[\"key\", {\"key\": 1}]"),
    ("[&a {x: 1}, {<<: *a, x: 2}]", "[{\"x\": 1}, {\"x\": 2}]"),
    ("[&a {x: 1}, {x: 2, <<: *a}]", "[{\"x\": 1}, {\"x\": 1}]"),
    (
        "[&a {x: 1}, &b {x: 3, z: 4}, {<<: [*a, *b]}]",
        "[{\"x\": 1}, {\"x\": 3, \"z\": 4}, {\"x\": 1, \"z\": 4}]",
    ),
    (
        "[&a {x: 1}, &b {x: 3, z: 4}, {<<: *a, <<: *b}]",
        "[{\"x\": 1}, {\"x\": 3, \"z\": 4}, {\"x\": 3, \"z\": 4}]",
    ),
    ("{<<: {a: 1}}", "{\"a\": 1}"),
    ("{\"<<\": {a: 1}}", "{\"<<\": {\"a\": 1}}"),
];

/// Texts after `v: ` that both refuse.
const REFUSED: &[&str] = &[
    ".inf",
    "-.inf",
    ".nan",
    "- 1",
    "@x",
    "`x`",
    "%x",
    "a: b",
    "!!bool x",
    "!!float x",
    "!!null x",
    "!!int 1.5",
    "!!int",
    "*q",
    "&q [*q]",
    "[1, 2",
    "\"x",
    "a\u{1}b",
    "\n\ta: 1",
    "\n  ~: z",
    "\n  null: z",
    "\n  18446744073709551615: z",
    "\n  [a]: z",
    "\n  {a: b}: z",
    "\n  ? ? a\n  : z",
    "\n  {{ a }}: z",
    "{{ .Values.x }}",
    "\n  <<: 3",
    "\n  <<:\n  a: 1",
];

/// Whole texts, and the objects' field `v`.
const TEXTS: &[(&str, &[i64])] = &[
    ("H v: 1\n", &[1]),
    ("---\nH v: 1\n---\n", &[1]),
    (
        "---\n---\nH v: 1\n---\n# nothing\n--- # comment\nH v: 2",
        &[1, 2],
    ),
    ("\u{feff}H v: 1\n---\n\u{feff}H v: 2\n", &[1, 2]),
    (
        "\u{feff}{\"apiVersion\":\"a/v1\",\"kind\":\"X\",\"metadata\":{\"name\":\"x\"},\"v\":1}\n{\"apiVersion\":\"a/v1\",\"kind\":\"X\",\"metadata\":{\"name\":\"x\"},\"v\":2}",
        &[1, 2],
    ),
    ("H v: 1\n...\n", &[1]),
    ("~\n---\nH v: 1\n", &[1]),
    (
        "{\"apiVersion\":\"a/v1\",\"kind\":\"X\",\"metadata\":{\"name\":\"x\"},\"v\":1}\n{\"apiVersion\":\"a/v1\",\"kind\":\"X\",\"metadata\":{\"name\":\"x\"},\"v\":2.0}\n",
        &[1, 2],
    ),
    (
        "{\"apiVersion\":\"a/v1\",\"kind\":\"X\",\"metadata\":{\"name\":\"\\ud83d\\ude00\\/\"},\"v\":1}\n\n{\"apiVersion\":\"a/v1\",\"kind\":\"X\",\"metadata\":{\"name\":\"x\"},\"v\":1e2}\n",
        &[1, 100],
    ),
    (
        "{\n\t\"apiVersion\":\t\"a/v1\",\n\t\"kind\": \"X\", \"metadata\": {\"name\": \"x\"}, \"v\": 1\n}",
        &[1],
    ),
    (
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: a/v1\n  kind: X\n  metadata: {name: x}\n  v: 1\n- {apiVersion: a/v1, kind: X, metadata: {name: x}, v: 2}\n",
        &[1, 2],
    ),
    (
        "apiVersion: a/v1\nkind: XList\nitems:\n- metadata: {name: x}\n  v: 1\n",
        &[1],
    ),
];

fn ours(text: &str) -> Result<Vec<Value>, String> {
    let parsed = parse(text);
    match parsed.errors.first() {
        Some(error) => Err(error.to_string()),
        None => Ok(parsed.documents.into_iter().map(|one| one.object).collect()),
    }
}

/// kubectl's objects. Panics if there is none to ask; see `kubectl_is_there`.
fn theirs(text: &str) -> Result<Vec<Value>, String> {
    let mut child = kubectl()
        .args(["patch", "--local", "-f", "-", "--type", "merge", "-p", "{}"])
        .args(["-o", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(text.as_bytes()).expect("kubectl reads");
    drop(stdin);
    let output = child.wait_with_output().expect("kubectl ends");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::Deserializer::from_slice(&output.stdout)
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

fn kubectl() -> Command {
    Command::new(std::env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into()))
}

fn kubectl_is_there() -> bool {
    let asked = kubectl().args(["version", "--client"]).output();
    let there = asked.is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("SKIPPED: no kubectl to compare with");
    }
    there
}

/// Numbers are equal if their values are: Go writes 2^64 without a point.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => left == right,
            (None, None) => left.as_f64() == right.as_f64(),
            _ => false,
        },
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(a, b)| same(a, b))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|((ka, a), (kb, b))| ka == kb && same(a, b))
        }
        _ => left == right,
    }
}

fn with(value: &str) -> String {
    format!("{HEAD}v: {value}\n")
}

fn whole(text: &str) -> String {
    text.replace("H ", HEAD)
}

fn field(objects: &[Value]) -> Vec<Value> {
    objects.iter().map(|one| one["v"].clone()).collect()
}

#[test]
fn a_value_means_what_the_table_says() {
    for (written, expected) in VALUES {
        let expected: Value = serde_json::from_str(expected).expect("the table is JSON");
        let objects = ours(&with(written)).unwrap_or_else(|error| panic!("{written:?}: {error}"));
        let value = &objects[0]["v"];
        assert!(
            same(value, &expected),
            "{written:?} is {value}, not {expected}"
        );
    }
}

#[test]
fn kubectl_agrees_with_the_table_of_values() {
    if !kubectl_is_there() {
        return;
    }
    // One text, one start of kubectl: it takes longer to start than to read.
    let text: Vec<String> = VALUES.iter().map(|(written, _)| with(written)).collect();
    let objects = theirs(&text.join("---\n")).expect("kubectl takes the table");
    assert_eq!(objects.len(), VALUES.len());
    for ((written, expected), object) in VALUES.iter().zip(objects) {
        let expected: Value = serde_json::from_str(expected).expect("the table is JSON");
        let value = &object["v"];
        assert!(
            same(value, &expected),
            "{written:?} is {value}, not {expected}"
        );
    }
}

#[test]
fn what_kubectl_refuses_is_an_error_with_its_line() {
    for written in REFUSED {
        let parsed = parse(&with(written));
        assert!(parsed.documents.is_empty(), "{written:?} gives an object");
        assert_eq!(parsed.errors.len(), 1, "{written:?}: {:?}", parsed.errors);
        assert!(
            parsed.errors[0].line >= 5,
            "{written:?}: {:?}",
            parsed.errors
        );
    }
}

#[test]
fn kubectl_refuses_what_the_table_says() {
    if !kubectl_is_there() {
        return;
    }
    for written in REFUSED {
        assert!(theirs(&with(written)).is_err(), "{written:?}");
    }
}

#[test]
fn texts_of_several_objects_hold_what_the_table_says() {
    for (text, expected) in TEXTS {
        let objects = ours(&whole(text)).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(json!(field(&objects)), json!(expected), "{text:?}");
    }
}

#[test]
fn kubectl_agrees_with_the_table_of_texts() {
    if !kubectl_is_there() {
        return;
    }
    for (text, expected) in TEXTS {
        let objects = theirs(&whole(text)).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        let found = field(&objects);
        assert_eq!(json!(found), json!(expected), "{text:?}");
        let ours = ours(&whole(text)).expect("read above");
        assert!(same(&json!(ours), &json!(objects)), "{text:?}");
    }
}

/// kubectl 1.36 reads these; 1.32 takes what starts with a brace for JSON to its end.
#[test]
fn separators_may_stand_between_json_objects_and_flow_may_be_yaml() {
    for (text, expected) in [
        ("{\"v\": 1}\n---\n{\"v\": 2}\n---\nv: 3\n", json!([1, 2, 3])),
        ("{kind: '}x{', v: 010}", json!([8])),
    ] {
        let objects = ours(text).expect("read");
        assert_eq!(json!(field(&objects)), expected, "{text:?}");
    }
}

/// Where the parser beneath is stricter than kubectl's. No file of the field study has these.
#[test]
fn what_only_our_parser_refuses_is_known() {
    for written in [
        // A tab that indents a flow collection inside of a block. (A whole JSON file may.)
        "{\n\ta: 1}",
        // A comment without a space before it.
        "\"a\"#c",
        // Base64 that becomes text.
        "!!binary aGk=",
    ] {
        assert!(ours(&with(written)).is_err(), "{written:?}");
        if kubectl_is_there() {
            assert!(theirs(&with(written)).is_ok(), "{written:?}");
        }
    }
}

/// Where we are stricter, on purpose: kubectl takes these and loses something without a word.
#[test]
fn what_kubectl_would_lose_silently_is_an_error() {
    for (text, kubectls) in [("H v: 1\nv: 2\n", 2), ("H v: 1\n...\nH v: 2\n", 1)] {
        assert!(ours(&whole(text)).is_err(), "{text:?}");
        if kubectl_is_there() {
            let objects = theirs(&whole(text)).expect("kubectl takes it");
            assert_eq!(json!(field(&objects)), json!([kubectls]), "{text:?}");
        }
    }
}
