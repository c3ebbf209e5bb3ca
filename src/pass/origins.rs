//! Where a source is backed up from, and telling when two directories take turns under one name.

use super::context::SourceContext;
use crate::events::Event;
use crate::format::lock::Holder;
use crate::format::origin::{self, Origin};
use crate::format::snapshot::Snapshot;

/// What of the machine lasts from pass to pass. A pod and a task are new each time and their addresses
/// come back by chance, so it is the namespace or the cluster that counts there.
#[must_use]
pub(crate) fn machine(holder: &Holder) -> String {
    match (&holder.ecs_cluster, &holder.pod) {
        (Some(cluster), _) => format!("ECS cluster {cluster}"),
        (None, Some(pod)) => match pod.split_once('/') {
            Some((namespace, _)) => format!("Kubernetes namespace {namespace}"),
            None => "Kubernetes".to_owned(),
        },
        (None, None) => format!("host {}", holder.host),
    }
}

/// The origins of the snapshot to be. A directory that moves is told once; one that is back after
/// another one, each time.
pub(super) fn tell(
    context: &SourceContext,
    machine: &str,
    parent: Option<&Snapshot>,
) -> Vec<Origin> {
    let source = &context.job;
    let now = Origin {
        place: source.place.text(),
        machine: machine.to_owned(),
        file_system: context.source.identity(),
        first: context.pass,
        last: context.pass,
        last_at: context.started_at,
    };
    let known = parent.map_or(&[][..], |parent| &parent.origins);
    let origins = origin::after(known, &now);
    if let Some(other) = origin::returns_after(known, &now) {
        context.events.emit(&Event::OriginReturned {
            source: source.name.clone(),
            origin: Box::new(origins[0].clone()),
            other: Box::new(other.clone()),
        });
    } else if let Some(last) = parent.filter(|last| last.place != now.place) {
        context.events.emit(&Event::Notice {
            message: format!(
                "source `{}` was `{}` in its last snapshot and is `{}` now; if these are two, give one of them another name",
                source.name, last.place, now.place
            ),
        });
    }
    origins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_what_outlives_its_pods_and_tasks() {
        let text = |text: &str| Some(text.to_owned());
        for (pod, ecs_cluster, expected) in [
            (None, None, "host web-1"),
            (
                text("shop/offsite-x7k2p"),
                None,
                "Kubernetes namespace shop",
            ),
            (text("offsite-x7k2p"), None, "Kubernetes"),
            (None, text("arn:c"), "ECS cluster arn:c"),
        ] {
            let holder = Holder {
                host: "web-1".to_owned(),
                pod,
                ecs_cluster,
                ..Holder::default()
            };
            assert_eq!(machine(&holder), expected);
        }
    }
}
