//! What the tests stand on: clients, raw requests, a moto server.

pub(crate) mod client;
pub(crate) mod moto;
pub(crate) mod raw;
