//! Claims: which process makes which step, as locks of the kernel on `journal/claims`, which stays empty. A step's place
//! follows from its hash; two steps that share one are made one after the other, which does no harm.

use crate::error::{StoreError, writing};
use crate::lock::{failed, holder};
use crate::ranges::{self, Mode, PLACES, Place};
use assets_core::catalog::{Claim, Held, Work};
use assets_core::hash::{Digest, Hasher};
use assets_core::key::Step;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const VIEWS: Place = Place(0);
/// The index, which one process at a time can open.
const INDEX: Place = Place(1);
const FIRST_STEP: u64 = 16;

/// The claims of one handle.
#[derive(Clone)]
pub(crate) struct Claims {
    path: PathBuf,
    file: Arc<File>,
    /// How often each place is claimed by this handle: the kernel counts it once.
    held: Arc<Mutex<HashMap<Place, usize>>>,
}

impl Claims {
    pub(crate) fn open(root: &Path) -> Result<Self, StoreError> {
        let path = root.join("journal/claims");
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        Ok(Self { file: Arc::new(open.map_err(writing(&path))?), path, held: Arc::default() })
    }

    /// Claims a piece of work, or says who has it.
    pub(crate) fn claim(&self, work: &Work) -> Result<Claim, StoreError> {
        let place = match work {
            Work::Step(step) => place_of(step),
            Work::Views => VIEWS,
        };
        Ok(match self.take(place)? {
            Ok(taken) => Claim::Ours(Held::new(taken)),
            Err(process) => Claim::Theirs(holder(process)),
        })
    }

    /// Claims the index; `None` while another process has it open.
    pub(crate) fn index(&self) -> Option<Taken> {
        self.take(INDEX).ok()?.ok()
    }

    fn take(&self, place: Place) -> Result<Result<Taken, u32>, StoreError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(place).or_default();
        if *count == 0 {
            let in_the_way = ranges::try_lock(&self.file, place, Mode::Alone);
            if let Some(process) = in_the_way.map_err(|error| failed(&self.path, error))? {
                held.remove(&place);
                return Ok(Err(process));
            }
        }
        *held.entry(place).or_default() += 1;
        Ok(Ok(Taken { claims: self.clone(), place }))
    }
}

/// A place that is claimed, until dropped.
pub(crate) struct Taken {
    claims: Claims,
    place: Place,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut held = self.claims.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.place) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.place);
                // It goes with the process at the latest.
                let _ = ranges::unlock(&self.claims.file, self.place);
            }
        }
    }
}

fn place_of(step: &Step) -> Place {
    let mut hasher = Hasher::new("assets.claim.1");
    hasher.text(step.asset.as_str());
    for (dimension, key) in step.partition.keys() {
        hasher.text(dimension).text(key);
    }
    let digest: Digest<8> = hasher.finish();
    Place(FIRST_STEP + u64::from_be_bytes(*digest.as_bytes()) % (PLACES - FIRST_STEP))
}
