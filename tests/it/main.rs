//! The program as its users have it: a process that talks to a real S3 server over HTTP.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod answers;
mod archive;
mod backup;
mod bounds;
mod by_hand;
mod cold;
mod compared;
mod config;
mod credentials;
mod docs;
mod ecs;
mod fault;
mod kill;
mod lock;
mod memory;
mod messages;
mod model;
mod names;
mod origins;
mod output;
mod plan;
mod requests;
mod restore;
mod retry;
mod roots;
mod selections;
mod sessions;
mod sources;
mod stores;
mod support;
mod takeover;
mod takeover_histories;
mod time;
mod transport;
mod verify;
