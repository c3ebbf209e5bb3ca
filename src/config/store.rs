//! Which store a configuration names, and how it is reached.
//!
//! `backup.store` names it by URL; `bucket` and `prefix` of `backup.s3` are the long form of that. Of values from
//! different layers the later ones win, whatever their form; those of one layer must agree.

use std::time::Duration;

use figment::value::Tag;

use super::reader::{Findings, Placed, complain};
use super::settings::Settings;
use crate::store::StoreOptions;
use crate::store::url::{BadStore, StoreUrl};

/// What is known of stores besides settings.
pub(super) struct Stores<'a> {
    /// Where the environment says that stores are.
    pub(super) endpoint_url: Option<&'a str>,
    /// The store that file and document name.
    pub(super) written: Option<&'a StoreUrl>,
}

/// The shortest time to wait for an answer.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(1);

/// The store. What is wrong goes to `findings`, and the result is of no use then.
pub(super) fn url(settings: &Settings, findings: &Findings) -> StoreUrl {
    let Some(placed) = &settings.store else {
        return long_form(settings, findings).unwrap_or_default();
    };
    let refuse = |place: &Placed<String>, problem: &BadStore| {
        complain(findings, place, &problem.to_string(), problem.hint());
        StoreUrl::default()
    };
    let named: StoreUrl = match placed.value.parse() {
        Ok(url) => url,
        Err(problem) => return refuse(placed, &problem),
    };
    let layer = findings.layer(placed.tag);
    let counts = |part: &&Placed<String>| findings.layer(part.tag) >= layer;
    let bucket = settings.s3.bucket.as_ref().filter(counts);
    let prefix = settings.s3.prefix.as_ref().filter(counts);
    let text = |part: Option<&Placed<String>>| part.map(|part| part.value.clone());
    let with = |bucket: Option<&Placed<String>>, prefix: Option<&Placed<String>>| {
        named.with(text(bucket).as_deref(), text(prefix).as_deref())
    };
    let beside = |part: &&Placed<String>| findings.layer(part.tag) == layer;
    let by_parts = with(bucket.filter(beside), prefix.filter(beside));
    if let Ok(other) = by_parts
        && other != named
    {
        let message = format!("names another place than `backup.s3`, which is `{other}`");
        complain(findings, placed, &message, "keep one of them");
    }
    with(bucket, prefix).unwrap_or_else(|problem| {
        let place = match problem {
            BadStore::Prefix | BadStore::PrefixOfDirectory(_) => prefix,
            BadStore::Bucket | BadStore::Kind => bucket,
        };
        refuse(place.unwrap_or(placed), &problem)
    })
}

/// What `backup.s3` alone names.
fn long_form(settings: &Settings, findings: &Findings) -> Option<StoreUrl> {
    let s3 = &settings.s3;
    let Some(bucket) = &s3.bucket else {
        let hint = "set it in the file, as OFFSITE_STORE in the environment, or with --store: s3://BUCKET/PREFIX or /A/DIRECTORY";
        let message = "is missing".to_owned();
        findings.problem(Tag::Default, "backup.store", message, Some(hint.to_owned()));
        return None;
    };
    let prefix = s3.prefix.as_ref();
    match StoreUrl::s3(&bucket.value, prefix.map_or("", |prefix| &prefix.value)) {
        Ok(url) => Some(url),
        Err(problem) => {
            let place = match problem {
                BadStore::Prefix | BadStore::PrefixOfDirectory(_) => prefix.unwrap_or(bucket),
                BadStore::Bucket | BadStore::Kind => bucket,
            };
            complain(findings, place, &problem.to_string(), problem.hint());
            None
        }
    }
}

/// How the store is reached.
pub(super) fn options(settings: &Settings, findings: &Findings) -> StoreOptions {
    let s3 = &settings.s3;
    if let Some(url) = &s3.endpoint_url {
        check_endpoint(url, findings);
    }
    let request_timeout = s3.request_timeout.as_ref();
    let request_timeout = request_timeout.map_or(SHORTEST_TIMEOUT, |timeout| {
        if timeout.value < SHORTEST_TIMEOUT {
            let message = "must be 1 second or more";
            complain(findings, timeout, message, "30s is a good value");
        }
        timeout.value
    });
    let concurrency = settings.limits.concurrency.as_ref();
    StoreOptions {
        region: s3.region.as_ref().map(|region| region.value.clone()),
        endpoint_url: s3.endpoint_url.as_ref().map(|url| url.value.clone()),
        force_path_style: s3.force_path_style,
        credentials: None,
        profile: None,
        encryption: s3.encryption.clone(),
        bandwidth_bytes_per_second: settings.limits.bandwidth.filter(|rate| *rate > 0),
        request_timeout,
        concurrency: usize::try_from(concurrency.map_or(1, |c| c.value)).unwrap_or(usize::MAX),
    }
}

/// Refuses what is no URL of a server.
pub(super) fn check_endpoint(url: &Placed<String>, findings: &Findings) {
    let scheme = url.value.split_once("://").map(|(scheme, _)| scheme);
    if !matches!(scheme, Some("http" | "https")) {
        let message = "must be a URL that starts with http:// or https://";
        complain(findings, url, message, "for AWS itself, leave it out");
    }
}

/// How late the last layer comes that has a say in where the store is.
pub(super) fn layer(settings: &Settings, findings: &Findings) -> u8 {
    let s3 = &settings.s3;
    let parts = [&settings.store, &s3.bucket, &s3.prefix].into_iter();
    let layers = parts.flatten().map(|part| findings.layer(part.tag));
    layers.max().unwrap_or_default()
}
