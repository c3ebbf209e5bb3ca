//! What the tests stand on: clients, raw requests.

pub(crate) mod client;
pub(crate) mod raw;
