//! The store's time beside this machine's.

use jiff::SignedDuration;

use super::world::World;
use crate::events::Event;

/// The difference that nobody's clock should have. AWS refuses requests that are 15 minutes off.
const MOST: SignedDuration = SignedDuration::from_hours(1);

/// Tells when the store's time and this machine's are far apart: one of them is wrong, and snapshots are
/// dated by the store's.
pub(super) fn tell_of_another_time(world: &World) {
    let (store, machine) = (world.store.now(), (world.clock)());
    if store.duration_since(machine).abs() > MOST {
        world.events.emit(&Event::Notice {
            message: format!(
                "the store's clock says {store}, this machine's {machine:.0}: one of them is wrong, and snapshots are dated by the store's"
            ),
        });
    }
}
