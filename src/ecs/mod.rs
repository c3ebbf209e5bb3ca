//! ECS, where it runs this program: which task this is, whether another one still runs, and starting
//! one.

mod identity;
mod launch;
mod tasks;

pub use identity::Identity;
pub use launch::{Capacity, Launch, LaunchError, Launched};
pub use tasks::{EcsError, Ended, Tasks};
