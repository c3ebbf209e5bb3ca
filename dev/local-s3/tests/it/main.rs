//! One integration binary: S3 as AWS documents it, then what only this server does.

#![expect(
    clippy::unwrap_used,
    reason = "in the helpers of tests a panic is the failure of the test"
)]

mod access;
mod binary;
mod clock;
mod conformance;
mod copies;
mod direct;
mod faults;
mod generated;
mod hook;
mod log;
mod persistence;
mod race;
mod sink;
mod support;
mod throttling;
