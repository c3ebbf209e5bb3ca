//! Repair: what verify has found damaged or missing is put back from a copy of the store; of what no copy has, it is
//! written down that the next pass captures it again.
//!
//! Under the lease. An object is put back only if a copy has exactly what was recorded, over the very version that was
//! found damaged (`If-Match`), or where there is none (`If-None-Match`). Whenever it is killed, what was put back
//! is back, and what was written down stays.

mod costs;
mod damage;
mod marking;

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use crate::copy::PutBack;
use crate::format::damage::{DamagedContents, DamagedObject};
use crate::format::keys::SourceName;
use crate::format::lock::Holder;
use crate::format::mark::RepairedObject;
use crate::format::pass_id::PassId;
use crate::lease::Lease;
use crate::stop::Stop;
use crate::store::{Condition, Placement, Store, StoreError, StoreErrorKind, StoreResult};

pub use self::damage::{Damage, damages};
use self::marking::Marker;
pub use self::marking::MarkingError;

/// What a repair is made with.
pub struct Repairer<'a> {
    /// The store that is repaired.
    pub store: Arc<dyn Store>,
    /// Its lease.
    pub lease: &'a Lease,
    /// Who repairs it.
    pub holder: Holder,
    /// Stores that have copies.
    pub copies: Vec<Arc<dyn Store>>,
    /// When to stop.
    pub stop: Arc<Stop>,
}

/// What is repaired: objects of one snapshot.
pub struct Damages {
    /// The source.
    pub source: SourceName,
    /// The snapshot in which they were found.
    pub snapshot: PassId,
    /// How its contents are kept.
    pub placement: Placement,
    /// The objects.
    pub damages: Vec<Damage>,
}

/// What became of them.
#[derive(Debug, Default, Serialize)]
pub struct RepairReport {
    /// Put back from a copy.
    pub repaired: Vec<PutBackObject>,
    /// What no copy had.
    pub damaged: Vec<NotRepaired>,
    /// Whether parts of the manifest were put back, so that more can be looked at.
    #[serde(skip)]
    pub has_manifest: bool,
}

/// An object that is whole again.
#[derive(Debug, Serialize)]
pub struct PutBackObject {
    /// Its key.
    pub key: String,
    /// Where it came from; the store itself, where it was not damaged.
    pub from: String,
}

/// An object that is damaged still.
#[derive(Debug, Serialize)]
pub struct NotRepaired {
    /// Its key.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
    /// Why it was not put back.
    pub why: String,
    /// Some of the files in it.
    pub paths: Vec<String>,
    /// The snapshots that lack it.
    pub snapshots: Vec<PassId>,
    /// Whether the next pass captures again what it held, as far as it exists.
    pub recaptured: bool,
    /// Whether it costs files.
    pub costs_files: bool,
}

/// What became of one object.
#[derive(Debug, Clone)]
enum Outcome {
    /// It is whole, and came from there.
    Repaired(String),
    /// Why not.
    Damaged(String),
    /// The command is being stopped.
    NotTried,
}

/// What became of objects so far: several snapshots may need one.
#[derive(Debug, Default)]
pub struct Settled(HashMap<String, Outcome>);

impl Repairer<'_> {
    /// Puts back what copies have, and writes the rest down.
    ///
    /// # Errors
    /// The lease is lost, or the store fails. What was put back until then is back.
    pub async fn repair(
        &self,
        what: Damages,
        settled: &mut Settled,
    ) -> Result<RepairReport, MarkingError> {
        let mut report = RepairReport::default();
        let (mut renewed, mut left) = (Vec::new(), Vec::new());
        let mut not_tried = Vec::new();
        for damage in what.damages {
            let placement = match damage.is_manifest {
                true => Placement::default(),
                false => what.placement.clone(),
            };
            let known = settled.0.get(&damage.object.key).cloned();
            let is_new = known.is_none();
            let outcome = match known {
                Some(known) => known,
                None => self.put_back(&damage, &placement).await?,
            };
            let key = damage.object.key.clone();
            match outcome.clone() {
                Outcome::Repaired(from) => {
                    if is_new {
                        renewed.extend(self.renewed(&damage).await?);
                    }
                    report.has_manifest |= damage.is_manifest;
                    report.repaired.push(PutBackObject {
                        key: key.clone(),
                        from,
                    });
                }
                Outcome::Damaged(why) => left.push((damage, why)),
                Outcome::NotTried => not_tried.push(damage),
            }
            settled.0.insert(key, outcome);
        }
        let marker = Marker {
            store: &*self.store,
            lease: self.lease,
            holder: &self.holder,
            source: &what.source,
            snapshot: what.snapshot,
        };
        marker.repaired(&renewed).await?;
        if !left.is_empty() {
            report.damaged = self.write_down(&marker, left).await?;
        }
        // A copy may have it: the next repair finds out, and until then nothing is captured again.
        let not_tried = not_tried.into_iter().map(|damage| NotRepaired {
            key: damage.object.key,
            problem: damage.object.problem,
            why: "interrupted".to_owned(),
            paths: damage.object.paths,
            snapshots: Vec::new(),
            recaptured: false,
            costs_files: damage.costs_files,
        });
        report.damaged.extend(not_tried);
        Ok(report)
    }

    async fn put_back(&self, damage: &Damage, placement: &Placement) -> StoreResult<Outcome> {
        let key = &damage.object.key;
        if self.stop.is_set() {
            return Ok(Outcome::NotTried);
        }
        let condition = match self.store.head(key).await {
            Ok(info) => Condition::Matches(info.etag),
            Err(error) if error.kind == StoreErrorKind::NotFound => Condition::Absent,
            Err(error) => return Err(error),
        };
        if damage.is_doubtful && damage.need.is_in(&self.store).await? {
            return Ok(Outcome::Repaired(self.store.location()));
        }
        let mut why = match self.copies.is_empty() {
            true => "there is no copy of the store (`backup.copies`)".to_owned(),
            false => "no copy has it as it was recorded".to_owned(),
        };
        for copy in &self.copies {
            let put = PutBack {
                from: Arc::clone(copy),
                to: Arc::clone(&self.store),
                condition: condition.clone(),
                placement: placement.clone(),
            };
            match put.put(&damage.need).await {
                Ok(true) => return Ok(Outcome::Repaired(copy.location())),
                Ok(false) => {}
                // One that cannot be reached does not keep the others from being asked.
                Err(error) => why = reason(copy, &error),
            }
        }
        Ok(Outcome::Damaged(why))
    }

    /// The ETag of what was put back, where it is not the one that was recorded.
    async fn renewed(&self, damage: &Damage) -> StoreResult<Option<RepairedObject>> {
        let Some(recorded) = &damage.etag else {
            return Ok(None);
        };
        let etag = self.store.head(&damage.object.key).await?.etag;
        let key = damage.object.key.clone();
        Ok((etag.bare() != recorded.bare()).then_some(RepairedObject { key, etag }))
    }

    /// Names the snapshots that each object costs, and has the next pass capture again what the newest one needs.
    async fn write_down(
        &self,
        marker: &Marker<'_>,
        left: Vec<(Damage, String)>,
    ) -> Result<Vec<NotRepaired>, MarkingError> {
        let costly = |damage: &&(Damage, String)| !damage.0.is_manifest && damage.0.costs_files;
        let objects: Vec<DamagedObject> = left
            .iter()
            .filter(costly)
            .map(|(damage, _)| damage.object.clone())
            .collect();
        let contents = Arc::new(DamagedContents::of(objects));
        let (store, source) = (Arc::clone(&self.store), marker.source.clone());
        let damaged = Arc::clone(&contents);
        let costs = tokio::task::spawn_blocking(move || costs::costs(&store, &source, &damaged));
        let costs = match costs.await {
            Ok(costs) => costs?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        let numbered = contents.objects().iter().enumerate();
        let to_mark: Vec<_> = numbered
            .filter(|(number, _)| costs.is_in_newest(*number))
            .map(|(_, object)| object.clone())
            .collect();
        marker.damaged(to_mark.clone()).await?;
        let not_repaired = left.into_iter().map(|(damage, why)| {
            let mut objects = contents.objects().iter();
            let number = objects.position(|object| object.key == damage.object.key);
            let snapshots = number.map(|number| costs.of(number).to_vec());
            // Parts of the manifest are the snapshot's own, as far as is known here.
            let own = || match damage.is_manifest {
                true => vec![marker.snapshot],
                false => Vec::new(),
            };
            let snapshots = snapshots.unwrap_or_else(own);
            NotRepaired {
                recaptured: to_mark.iter().any(|o| o.key == damage.object.key),
                key: damage.object.key,
                problem: damage.object.problem,
                why,
                paths: damage.object.paths,
                snapshots,
                costs_files: damage.costs_files,
            }
        });
        Ok(not_repaired.collect())
    }
}

fn reason(copy: &Arc<dyn Store>, error: &StoreError) -> String {
    format!("not put back from `{}`: {error}", copy.location())
}
