//! Bad input: a clear answer with its place, in bounded time, and the rest of the text read.

use std::time::{Duration, Instant};

use infer_manifest::{Parsed, parse};

/// One error, as a person would read it.
fn told(parsed: &Parsed) -> Vec<String> {
    let tell = |error: &infer_manifest::ParseError| match &error.help {
        Some(help) => format!("{error} (help: {help})"),
        None => error.to_string(),
    };
    parsed.errors.iter().map(tell).collect()
}

#[test]
fn each_mistake_is_told_with_its_place_and_a_way_out() {
    let template = "this looks like a template: render it first, as in `helm template NAME CHART | kubectl infer check -f -`";
    for (text, expected) in [
        (
            "a: 1\nb:\n  c: 2\na: 3\n",
            "line 4, column 1: the key `a` is given twice, first in line 1 (help: remove one: kubectl would use the last and drop the first without a word)",
        ),
        (
            "a: {1: x, \"1\": y}\n",
            "line 1, column 11: the key `1` is given twice, first in line 1 (help: remove one: kubectl would use the last and drop the first without a word)",
        ),
        (
            "a: .inf\n",
            "line 1, column 4: JSON has no NaN and no infinity (help: write the value in quotes to make it text)",
        ),
        (
            "a:\n  ~: 1\n",
            "line 2, column 3: a key cannot be null (help: write the key in quotes to make it text)",
        ),
        (
            "a: {[b]: 1}\n",
            "line 1, column 5: a key must be a scalar, not a list or a map",
        ),
        ("é: !!int x\n", "line 1, column 4: `x` is no !!int"),
        (
            "a:\n\tb: 1\n",
            "line 2, column 2: tabs disallowed within this context (block indentation) (help: indent with spaces)",
        ),
        (
            "a: @b\n",
            "line 1, column 4: unexpected character: `@' (help: a value that starts with this character needs quotes)",
        ),
        (
            "a: b: c\n",
            "line 1, column 5: mapping values are not allowed in this context (help: check the indentation; a value with `: ` in it needs quotes)",
        ),
        (
            "a: *b\n",
            "line 1, column 4: while parsing node, found unknown anchor (help: a value that starts with `*` needs quotes)",
        ),
        (
            "a: &b [*b]\n",
            "line 1, column 8: an anchor whose value contains itself",
        ),
        ("a: \u{1}\n", "line 1, column 4: a control character"),
        (
            "- a\n",
            "line 1, column 1: a manifest is an object, not a list",
        ),
        (
            "hello\n",
            "line 1, column 1: a manifest is an object, not a text",
        ),
        (
            "kind: List\nitems:\n- 1\n",
            "line 3, column 3: a manifest is an object, not a text",
        ),
        (
            "a: 1\n...\nb: 2\n",
            "line 3, column 1: kubectl does not read what follows `...` (help: separate documents with `---`)",
        ),
        (
            "a: 1\n--- b: 2\n",
            "line 2, column 5: kubectl takes nothing but a comment after `---` (help: put it on a line of its own; a line inside of a text block must be indented)",
        ),
        (
            "%YAML 1.1\n---\na: 1\n",
            "line 2, column 1: did not find expected <document start> (help: kubectl takes no `%` directives: remove the line)",
        ),
        (
            "a:\n  <<: 3\n",
            "line 2, column 7: `<<` needs a map or a list of maps",
        ),
        (
            "{{- if .Values.on }}\na: 1\n{{- end }}\n",
            &format!("line 1, column 3: \"-\" is only valid inside a block (help: {template})"),
        ),
        (
            "{{ if .Values.on }}\na: 1\n{{ end }}\n",
            &format!(
                "line 1, column 2: a key must be a scalar, not a list or a map (help: {template})"
            ),
        ),
        (
            "a: {{ .Values.x }}\n",
            &format!(
                "line 1, column 5: a key must be a scalar, not a list or a map (help: {template})"
            ),
        ),
        (
            "a: x-{{ .Values.x }}: y\n",
            &format!(
                "line 1, column 21: mapping values are not allowed in this context (help: {template})"
            ),
        ),
    ] {
        assert_eq!(told(&parse(text)), [expected], "{text:?}");
    }
}

#[test]
fn a_broken_document_hides_no_other() {
    for broken in [
        "a: [",
        "a: \"",
        "a: 'x",
        "a: {{ x }}",
        "\ta: 1",
        "a: |\n b\n   c\n  d",
        "%x",
        "a: @",
        "}",
        "? [",
        "&",
    ] {
        let text = format!("v: 1\n---\n{broken}\n---\nv: 2\n");
        let parsed = parse(&text);
        let values: Vec<i64> = parsed
            .documents
            .iter()
            .filter_map(|one| one.object["v"].as_i64())
            .collect();
        assert_eq!(values, [1, 2], "{broken:?}");
        assert!(parsed.errors.len() <= 1, "{broken:?}: {:?}", parsed.errors);
        assert!(parsed.errors.iter().all(|error| error.line >= 2));
    }
    let parsed = parse("{\"v\": 1}\n{\"v\": }\n---\n{\"v\": 2} x\n---\n{\"v\": 3}");
    assert_eq!(parsed.documents.len(), 4, "{:?}", parsed.errors);
}

#[test]
fn separators_inside_of_text_blocks_are_text() {
    let text = "a: |\n  x\n  ---\n  y\nb: \"x\n  ---\n  y\"\n";
    let parsed = parse(text);
    assert_eq!(parsed.errors, []);
    assert_eq!(parsed.documents[0].object["a"], "x\n---\ny\n");
    assert_eq!(parsed.documents[0].object["b"], "x --- y");
}

#[test]
fn depth_ends_at_128_without_a_stack_overflow() {
    let deep = |open: &str, close: &str, depth: usize| {
        format!("{}{}", open.repeat(depth), close.repeat(depth))
    };
    for text in [
        deep("{\"a\":", "}", 100_000),
        format!("{{\"a\":{}}}", deep("[", "]", 100_000)),
        format!("a: {}", deep("[", "]", 100_000)),
        format!("a: {}", "[".repeat(100_000)),
        format!("a:\n {}x", "- ".repeat(100_000)),
        (0..2_000).fold(String::new(), |text, level| {
            text + &" ".repeat(level) + "a:\n"
        }),
        // Each alias is shallow, and what they unfold to is not.
        (1..1_000).fold("a0: &a0 [x]\n".to_owned(), |text, level| {
            text + &format!("a{level}: &a{level} [*a{}]\n", level - 1)
        }),
    ] {
        let started = Instant::now();
        let parsed = parse(&text);
        let begin: String = text.chars().take(20).collect();
        assert_eq!(parsed.documents.len(), 0, "{begin:?}");
        let told = told(&parsed);
        assert_eq!(told.len(), 1, "{begin:?}: {told:?}");
        assert!(
            told[0].contains("nested deeper than 128"),
            "{begin:?}: {told:?}"
        );
        assert!(started.elapsed() < Duration::from_secs(2), "{begin:?}");
    }
    for text in [
        format!("{{\"a\":{}}}", deep("[", "]", 127)),
        format!("a: {}", deep("[", "]", 127)),
    ] {
        assert_eq!(parse(&text).errors, []);
    }
}

#[test]
fn aliases_that_unfold_without_end_are_refused() {
    let lines: Vec<String> = (1..40)
        .map(|level| {
            format!(
                "a{level}: &a{level} [{}]",
                vec![format!("*a{}", level - 1); 9].join(",")
            )
        })
        .collect();
    let laughs = format!("a0: &a0 [lol,lol,lol]\n{}\n", lines.join("\n"));
    let long = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(1_000_000),
        "*a,".repeat(100_000)
    );
    for text in [laughs, long] {
        let started = Instant::now();
        let parsed = parse(&text);
        assert_eq!(parsed.documents.len(), 0);
        assert!(told(&parsed)[0].contains("too many values, or too many aliases"));
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn errors_of_one_text_are_counted_and_then_end() {
    let parsed = parse(&"a: [\n---\n".repeat(1_000));
    assert_eq!(parsed.errors.len(), 101);
    let last = parsed.errors.last().expect("101 errors");
    assert_eq!(last.message, "too many errors: the rest was not read");
}

#[test]
fn ten_megabytes_are_read_and_more_than_64_are_not() {
    let line = "  key-NUMBER: some value of usual length # with a comment\n";
    let mut text = String::from("kind: X\ndata:\n");
    for number in 0..180_000 {
        text.push_str(&line.replace("NUMBER", &number.to_string()));
    }
    assert!(text.len() > 10_000_000);
    let started = Instant::now();
    let parsed = parse(&text);
    assert_eq!(parsed.errors, []);
    assert_eq!(
        parsed.documents[0].object["data"]["key-179999"],
        "some value of usual length"
    );
    // Unoptimised, on a busy machine; see docs/performance.md for the time that counts.
    assert!(started.elapsed() < Duration::from_secs(60));

    let parsed = parse(&" ".repeat((64 << 20) + 1));
    assert_eq!(told(&parsed), ["line 1, column 1: larger than 64 MiB"]);
}

#[test]
fn a_json_key_may_be_longer_than_a_yaml_key() {
    let text = format!("{{\"{}\": 1}}", "k".repeat(5_000));
    assert_eq!(parse(&text).errors, []);
}

#[test]
fn nothing_in_a_text_is_no_error() {
    for text in [
        "",
        "\n",
        "# c",
        "---",
        "---\n---\n",
        "\u{feff}",
        "null",
        "...",
        "~\n",
    ] {
        let parsed = parse(text);
        assert_eq!(parsed.errors, [], "{text:?}");
        assert_eq!(parsed.documents.len(), 0, "{text:?}");
    }
}
