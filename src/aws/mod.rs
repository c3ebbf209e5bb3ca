//! What every request to AWS goes through: the connector, credentials, profiles, and why a service was not asked.

pub(crate) mod cause;
pub(crate) mod connector;
pub(crate) mod credentials;
pub(crate) mod profile;
