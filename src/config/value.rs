//! From what is written to what it says: the types a setting can have.
//!
//! Environment variables and flags are text; a file has numbers, booleans and lists as well. Each
//! type takes both. An error is what was expected, in words that complete "must be".

use std::collections::BTreeMap;
use std::time::Duration;

use bytesize::ByteSize;
use figment::value::{Num, Value};

use crate::text::redacted;

/// Reads a setting.
pub(super) trait FromValue: Sized {
    /// Reads `value`.
    ///
    /// # Errors
    /// What it must be.
    fn from_value(value: &Value) -> Result<Self, String>;
}

impl FromValue for String {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(_, text) => Ok(text.clone()),
            // A bucket may well be called 2025.
            Value::Num(_, number) => Ok(match number.to_u128_lossy() {
                Some(number) => number.to_string(),
                None => return Err("text; put it in quotes".to_owned()),
            }),
            _ => Err("text".to_owned()),
        }
    }
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Bool(_, truth) => Ok(*truth),
            Value::String(_, text) => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Ok(true),
                "false" | "no" | "off" | "0" => Ok(false),
                _ => Err("true or false".to_owned()),
            },
            _ => Err("true or false".to_owned()),
        }
    }
}

impl FromValue for u64 {
    fn from_value(value: &Value) -> Result<Self, String> {
        let number = match value {
            Value::Num(_, number) => number.to_u128().or_else(|| positive(*number)),
            Value::String(_, text) => text.trim().parse().ok(),
            _ => None,
        };
        let number = number.and_then(|number: u128| Self::try_from(number).ok());
        number.ok_or_else(|| "a whole number, 0 or more".to_owned())
    }
}

fn positive(number: Num) -> Option<u128> {
    number
        .to_i128()
        .and_then(|number| u128::try_from(number).ok())
}

/// Seconds, or text like `90s`, `10m`, `1h 30m`, `7d`.
impl FromValue for Duration {
    fn from_value(value: &Value) -> Result<Self, String> {
        let expected = || "seconds, or a duration like `90s`, `10m`, `1h 30m` or `7d`".to_owned();
        let duration = match (u64::from_value(value), value) {
            (Ok(seconds), _) => Some(Self::from_secs(seconds)),
            (_, Value::String(_, text)) => parse_duration(text),
            _ => None,
        };
        match duration {
            Some(duration) if duration > LONGEST => Err("ten years or less".to_owned()),
            Some(duration) => Ok(duration),
            None => Err(expected()),
        }
    }
}

/// Longer durations are mistakes, and overflow clocks.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A duration as people write it.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let span: jiff::Span = text.parse().ok()?;
    let days = jiff::SpanRelativeTo::days_are_24_hours();
    Duration::try_from(span.to_duration(days).ok()?).ok()
}

/// A number of bytes, or text like `64MiB` or `50MB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl FromValue for Bytes {
    fn from_value(value: &Value) -> Result<Self, String> {
        if let Ok(bytes) = u64::from_value(value) {
            return Ok(Self(bytes));
        }
        let expected = || "bytes, or a size like `64MiB` or `50MB`".to_owned();
        let Value::String(_, text) = value else {
            return Err(expected());
        };
        let text = text.trim().trim_end_matches("/s");
        let size: ByteSize = text.parse().map_err(|_| expected())?;
        Ok(Self(size.as_u64()))
    }
}

/// A list, or text with commas.
impl FromValue for Vec<String> {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Array(_, items) => {
                let text = |item| String::from_value(item);
                let list: Result<_, _> = items.iter().map(text).collect();
                list.map_err(|_| "a list of texts".to_owned())
            }
            Value::String(_, text) => Ok(text
                .split(',')
                .map(|item| item.trim().to_owned())
                .filter(|item| !item.is_empty())
                .collect()),
            _ => Err("a list of texts".to_owned()),
        }
    }
}

/// A mapping of texts, or text like `team=web,tier=gold`.
impl FromValue for BTreeMap<String, String> {
    fn from_value(value: &Value) -> Result<Self, String> {
        let expected = || "a mapping of texts, like `{team: web}`".to_owned();
        match value {
            Value::Dict(_, dict) => dict
                .iter()
                .map(|(key, value)| Ok((key.clone(), String::from_value(value)?)))
                .collect::<Result<_, String>>()
                .map_err(|_| expected()),
            Value::String(_, text) => text
                .split(',')
                .filter(|pair| !pair.trim().is_empty())
                .map(|pair| {
                    let (key, value) = pair.split_once('=').ok_or_else(expected)?;
                    Ok((key.trim().to_owned(), value.trim().to_owned()))
                })
                .collect(),
            _ => Err(expected()),
        }
    }
}

impl FromValue for f64 {
    fn from_value(value: &Value) -> Result<Self, String> {
        let number = match value {
            Value::Num(_, number) => show(&Value::from(*number)).as_f64(),
            Value::String(_, text) => text.trim().parse().ok(),
            _ => None,
        };
        let number = number.filter(|number: &Self| number.is_finite() && *number >= 0.0);
        number.ok_or_else(|| "a number, 0 or more".to_owned())
    }
}

/// How a value is shown, in JSON's notation: without passwords that URLs carry.
#[must_use]
pub(super) fn show(value: &Value) -> serde_json::Value {
    let mut shown = serde_json::to_value(value).unwrap_or_default();
    redact(&mut shown);
    shown
}

fn redact(shown: &mut serde_json::Value) {
    match shown {
        serde_json::Value::String(text) => *text = redacted(text),
        serde_json::Value::Array(items) => items.iter_mut().for_each(redact),
        serde_json::Value::Object(members) => members.values_mut().for_each(redact),
        _ => {}
    }
}
