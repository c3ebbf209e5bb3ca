//! What taking the lock shows: who holds it, and what the store can do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::report;
use super::world::World;
use crate::ecs::Tasks;
use crate::events::Event;
use crate::format::abilities::Abilities;
use crate::format::pass_id::PassId;
use crate::lease::{self, Held};

/// Reports that the lock is held, and asks ECS about holders that are tasks.
pub(super) struct Observer<'a> {
    world: &'a World,
    wait: Duration,
    /// Passes of this process that are over. Where the store failed, they could not release their lock.
    own: &'a [PassId],
    /// ECS did not say; there is no use in asking again.
    is_silent: AtomicBool,
}

impl<'a> Observer<'a> {
    pub(super) fn new(world: &'a World, wait: Duration, own: &'a [PassId]) -> Self {
        Self {
            world,
            wait,
            own,
            is_silent: AtomicBool::new(false),
        }
    }
}

#[async_trait]
impl lease::Observer for Observer<'_> {
    async fn is_gone(&self, held: &Held) -> bool {
        let holder = &held.record.holder;
        if self.own.contains(&held.record.pass) && *holder == self.world.holder {
            return true;
        }
        let (Some(task), Some(cluster)) = (&holder.ecs_task, &holder.ecs_cluster) else {
            return false;
        };
        if self.is_silent.load(Ordering::Relaxed) {
            return false;
        }
        let tasks = Tasks::holding(task, cluster.clone()).await;
        match tasks.ended(task).await {
            Ok(None) => false,
            Ok(Some(ended)) => {
                let reason = match ended.reason.as_str() {
                    "" => "ECS does not know it any more".to_owned(),
                    reason => format!("it has stopped: {reason}"),
                };
                self.world.events.emit(&Event::Notice {
                    message: format!(
                        "task `{task}` holds the lock and does not run: {reason}; its lease is taken over"
                    ),
                });
                true
            }
            Err(error) => {
                self.is_silent.store(true, Ordering::Relaxed);
                self.world.events.emit(&Event::Notice {
                    message: format!(
                        "whether task `{task}`, which holds the lock, still runs is not known ({error}); its lease lasts until {}",
                        held.until
                    ),
                });
                false
            }
        }
    }

    fn tried(&self, found: &Abilities) {
        if let Some(message) = found.lacking() {
            self.world.events.emit(&Event::Notice { message });
        }
    }

    fn waits(&self, held: &Held) {
        let event = report::lock_held(held, Some(self.wait));
        self.world.events.emit(&event);
    }
}
