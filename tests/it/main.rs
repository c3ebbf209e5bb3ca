//! The program as its users have it: a process that talks to a real S3 server over HTTP.

mod backup;
mod kill;
mod support;
