//! What a scalar means to kubectl: the table of `go.yaml.in/yaml/v2` (`resolve.go`) and the
//! conversion to JSON after it (`sigs.k8s.io/yaml`), as kubectl 1.36 has them.

use std::borrow::Cow;

use granit_parser::Tag;
use serde_json::Value;

/// A scalar with its type decided, not yet JSON: keys and values become JSON in different ways.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar<'t> {
    Null,
    Bool(bool),
    Int(i64),
    /// Above `i64::MAX`.
    Large(u64),
    Float(f64),
    Text(Cow<'t, str>),
}

/// The type of a scalar. `plain` says that it has no quotes and is no block; an explicit tag
/// outweighs that. The error is what a tag cannot be applied to.
pub(crate) fn resolve<'t>(
    text: Cow<'t, str>,
    plain: bool,
    tag: Option<&Tag>,
) -> Result<Scalar<'t>, String> {
    let Some(tag) = tag else {
        if !plain {
            return Ok(Scalar::Text(text));
        }
        return Ok(match typed(&text) {
            Some(scalar) => scalar,
            None => Scalar::Text(text),
        });
    };
    let Some(name) = tag.suffix_in_namespace("tag:yaml.org,2002:") else {
        return Ok(Scalar::Text(text));
    };
    let found = typed(&text).unwrap_or_else(|| Scalar::Text(text.clone()));
    let fits = match (name.as_ref(), found) {
        ("null", Scalar::Null) => Some(Scalar::Null),
        ("bool", found @ Scalar::Bool(_)) => Some(found),
        ("int", found @ (Scalar::Int(_) | Scalar::Large(_))) => Some(found),
        ("float", found @ Scalar::Float(_)) => Some(found),
        ("float", Scalar::Int(number)) => Some(Scalar::Float(number as f64)),
        ("null" | "bool" | "int" | "float", _) => None,
        // kubectl decodes base64 here and keeps the bytes as text. No manifest in the field does
        // it, and a decoded value has no span.
        ("binary", _) => return Err("the tag !!binary is not supported".to_owned()),
        (_, _) => Some(Scalar::Text(text.clone())),
    };
    fits.ok_or_else(|| format!("`{}` is no !!{name}", shortened(&text)))
}

/// The beginning of a text, for a message.
pub(crate) fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(40) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// The type of a plain scalar; `None` for text.
fn typed(text: &str) -> Option<Scalar<'static>> {
    let Some(first) = text.bytes().next() else {
        return Some(Scalar::Null);
    };
    match first {
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' => word(text),
        b'.' => word(text).or_else(|| point(text).map(Scalar::Float)),
        b'+' | b'-' => word(text).or_else(|| number(text)),
        b'0'..=b'9' => number(text),
        _ => None,
    }
}

fn word(text: &str) -> Option<Scalar<'static>> {
    Some(match text {
        "y" | "Y" | "yes" | "Yes" | "YES" => Scalar::Bool(true),
        "true" | "True" | "TRUE" => Scalar::Bool(true),
        "on" | "On" | "ON" => Scalar::Bool(true),
        "n" | "N" | "no" | "No" | "NO" => Scalar::Bool(false),
        "false" | "False" | "FALSE" => Scalar::Bool(false),
        "off" | "Off" | "OFF" => Scalar::Bool(false),
        "~" | "null" | "Null" | "NULL" => Scalar::Null,
        ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Scalar::Float(f64::NEG_INFINITY),
        _ => return None,
    })
}

/// `.5`: unlike other numbers, an underscore in it must stand between digits.
fn point(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let misplaced = |(at, _): (usize, &str)| at == 0 || !digit(at - 1) || !digit(at + 1);
    if text.match_indices('_').any(misplaced) {
        return None;
    }
    float(&text.replace('_', ""))
}

fn number(text: &str) -> Option<Scalar<'static>> {
    let plain = if text.contains('_') {
        Cow::Owned(text.replace('_', ""))
    } else {
        Cow::Borrowed(text)
    };
    integer(&plain).or_else(|| float(&plain).map(Scalar::Float))
}

/// Go's `strconv.ParseInt` and `ParseUint` with base 0.
fn integer(text: &str) -> Option<Scalar<'static>> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (radix, digits) = match unsigned.as_bytes() {
        [b'0', b'b' | b'B', _, ..] => (2, &unsigned[2..]),
        [b'0', b'o' | b'O', _, ..] => (8, &unsigned[2..]),
        [b'0', b'x' | b'X', _, ..] => (16, &unsigned[2..]),
        [b'0', _, ..] => (8, &unsigned[1..]),
        _ => (10, unsigned),
    };
    // `from_str_radix` takes a sign of its own.
    if !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let size = u64::from_str_radix(digits, radix).ok()?;
    if text.starts_with('-') {
        return 0_i64.checked_sub_unsigned(size).map(Scalar::Int);
    }
    match i64::try_from(size) {
        Ok(size) => Some(Scalar::Int(size)),
        Err(_) if text.starts_with('+') => None,
        Err(_) => Some(Scalar::Large(size)),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, within the range of a double.
fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let shaped = digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    let scaled = exponent.is_none_or(|exponent| {
        let size = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !size.is_empty() && digits(size)
    });
    if !shaped || !scaled {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

impl Scalar<'_> {
    /// As a JSON value. The error is what JSON cannot hold.
    pub(crate) fn into_value(self) -> Result<Value, String> {
        Ok(match self {
            Scalar::Null => Value::Null,
            Scalar::Bool(truth) => Value::Bool(truth),
            Scalar::Int(number) => Value::from(number),
            // kubectl reads what an i64 cannot hold as a double.
            Scalar::Large(number) => Value::from(number as f64),
            // kubectl writes the double as JSON, where 1.0 is `1`, and reads it again. Both Go
            // and Rust write the fewest digits that tell it apart, with zeros after them.
            Scalar::Float(number) if number.is_finite() => {
                match number.to_string().parse::<i64>() {
                    Ok(whole) => Value::from(whole),
                    Err(_) => Value::from(number),
                }
            }
            Scalar::Float(_) => return Err("JSON has no NaN and no infinity".to_owned()),
            Scalar::Text(text) => Value::String(text.into_owned()),
        })
    }

    /// As a JSON object's key: kubectl makes text of numbers and truth values, so that a bare `y`
    /// is the key `true`. The error is what it refuses.
    pub(crate) fn into_key(self) -> Result<String, String> {
        Ok(match self {
            Scalar::Null => return Err("a key cannot be null".to_owned()),
            Scalar::Bool(truth) => truth.to_string(),
            Scalar::Int(number) => number.to_string(),
            Scalar::Large(number) => {
                return Err(format!("the number {number} is too large for a key"));
            }
            Scalar::Float(number) => shortest(number),
            Scalar::Text(text) => text.into_owned(),
        })
    }
}

/// Go's `strconv.FormatFloat(number, 'g', -1, 32)`, with YAML's words for what is no number.
fn shortest(number: f64) -> String {
    // kubectl writes a key that is a double with the digits of a float32.
    let narrow = number as f32;
    if narrow.is_nan() {
        return ".nan".to_owned();
    }
    if narrow.is_infinite() {
        return if narrow > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let scientific = format!("{narrow:e}");
    let exponent = scientific
        .split_once('e')
        .and_then(|(mantissa, exponent)| Some((mantissa, exponent.parse::<i32>().ok()?)));
    match exponent {
        Some((mantissa, exponent)) if !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.abs())
        }
        _ => narrow.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_no_i64_holds_is_a_double() {
        for text in ["18446744073709551615", "9223372036854775808", "1e19"] {
            let scalar = resolve(text.into(), true, None).expect("a number");
            let value = scalar.into_value().expect("finite");
            assert!(value.is_f64(), "{text} is {value:?}");
        }
    }
}
