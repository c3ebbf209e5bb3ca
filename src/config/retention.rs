//! `retention`, of a source or of all.

use jiff::tz::TimeZone;

use super::kind::Kind;
use super::reader::{Findings, Placed, Section, complain};
use crate::format::retention::{Policy, UTC};
use crate::retention::Retention;

/// What is written.
#[derive(Debug)]
pub(super) enum Written {
    /// `retention: default`: what suits the kind of source.
    OfKind(Placed<String>),
    /// Rules.
    Rules(Retention),
}

/// Less is a mistake.
const SHORTEST_SECONDS: u64 = 60 * 60;

const EXAMPLE: &str = "as in `{keep_within: 14d, daily: 30, monthly: 12}`";

/// Reads `retention`, if it is there.
pub(super) fn read(section: &mut Section<'_>) -> Option<Written> {
    if let Some(word) = section.word("retention") {
        return Some(Written::OfKind(word));
    }
    if !section.has("retention") {
        return None;
    }
    let mut rules = section.section("retention");
    let mut count = |key: &str| rules.get::<u64>(key).unwrap_or(0);
    let mut policy = Policy {
        keep_last: count("keep_last"),
        hourly: count("hourly"),
        daily: count("daily"),
        weekly: count("weekly"),
        monthly: count("monthly"),
        yearly: count("yearly"),
        ..Policy::none()
    };
    let within = rules.get::<std::time::Duration>("keep_within");
    policy.keep_within_seconds = within.map_or(0, |within| within.as_secs());
    if let Some(grace) = rules.get::<std::time::Duration>("grace") {
        policy.grace_seconds = grace.as_secs();
    }
    // `14` is seconds, and whoever writes that means days.
    let lengths = [
        ("keep_within", policy.keep_within_seconds),
        ("grace", policy.grace_seconds),
    ];
    for (key, seconds) in lengths {
        if (1..SHORTEST_SECONDS).contains(&seconds) {
            rules.complain(key, "must be an hour or more", "`14d` is two weeks");
        }
    }
    let zone = rules.parse("timezone", |name| match TimeZone::get(name) {
        Ok(zone) => Ok((name.to_owned(), zone)),
        Err(_) => Err("the name of a time zone, like `UTC` or `Europe/Berlin`"),
    });
    let (name, zone) = zone.unwrap_or_else(|| (UTC.to_owned(), TimeZone::UTC));
    policy.timezone = name;
    let after_pass = rules.get("after_pass").unwrap_or(false);
    if policy.is_empty() && !rules.has_problems() {
        rules.complain("", "has no rule, so it would keep nothing", EXAMPLE);
    }
    rules.finish();
    Some(Written::Rules(Retention {
        policy,
        zone,
        after_pass,
    }))
}

/// What holds for a source of a kind: its own, or that of all.
pub(super) fn of_source(
    own: Option<&Written>,
    of_all: Option<&Written>,
    kind: Option<Kind>,
    findings: &Findings,
) -> Option<Retention> {
    match own.or(of_all)? {
        Written::Rules(retention) => Some(retention.clone()),
        Written::OfKind(word) if word.value != "default" => {
            let message = "must be rules, or the word default";
            complain(findings, word, message, EXAMPLE);
            None
        }
        Written::OfKind(word) => {
            let kind = kind?;
            let days = kind.default_days();
            if days.is_none() && own.is_some() {
                let message = format!("is not there for {}", kind.plural());
                complain(findings, word, &message, EXAMPLE);
            }
            days.map(|days| Retention {
                policy: Policy::of_days(days),
                zone: TimeZone::UTC,
                after_pass: false,
            })
        }
    }
}
