//! Metrics in CloudWatch's Embedded Metric Format: a block in a log line, from which CloudWatch Logs
//! makes metrics by itself.
//!
//! Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use jiff::Timestamp;
use serde::Serialize;

use super::Event;

/// Where the metrics are found. That of metric filters, `Offsite/<name>`, is another one: nothing is
/// counted twice.
const NAMESPACE: &str = "Offsite";

/// Fields of `backup_completed` that become metrics, with CloudWatch's units.
const METRICS: [Metric; 8] = [
    Metric::new("duration_ms", "Milliseconds"),
    Metric::new("requests", "Count"),
    Metric::new("files", "Count"),
    Metric::new("bytes", "Bytes"),
    Metric::new("uploaded_files", "Count"),
    Metric::new("uploaded_bytes", "Bytes"),
    Metric::new("failed", "Count"),
    Metric::new("exit_code", "None"),
];

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    name: &'static str,
    unit: &'static str,
}

impl Metric {
    const fn new(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit }
    }
}

/// What a line has besides its event.
#[derive(Debug, Serialize)]
pub(super) struct Metrics<'a> {
    #[serde(rename = "_aws")]
    aws: Metadata,
    /// The dimension of all of them.
    store: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    timestamp: i64,
    cloud_watch_metrics: [Directive; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive {
    namespace: &'static str,
    dimensions: [[&'static str; 1]; 1],
    metrics: [Metric; 8],
}

impl<'a> Metrics<'a> {
    /// The metrics of an event, if it has any.
    pub(super) fn of(event: &Event, store: &'a str, now: Timestamp) -> Option<Self> {
        matches!(event, Event::BackupCompleted { .. }).then(|| Self {
            aws: Metadata {
                timestamp: now.as_millisecond(),
                cloud_watch_metrics: [Directive {
                    namespace: NAMESPACE,
                    dimensions: [["store"]],
                    metrics: METRICS,
                }],
            },
            store,
        })
    }
}
