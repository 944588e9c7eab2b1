//! What is written down about a jump besides the state itself.
//!
//! | key | value |
//! |---|---|
//! | `y` | the generation that is being filled, and the bytes of the summary |
//! | `z` generation | empty: the records of this generation are to be removed |

use sastrugi_vm::db::{Batch, Database, DbError};

use crate::{
    state::{Generation, Store},
    summary::Summary,
};

const ONGOING_KEY: &[u8] = b"y";
const REMOVAL_TAG: u8 = b'z';

/// A jump under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ongoing {
    pub(crate) generation: Generation,
    pub(crate) summary: Summary,
}

/// The jump that was under way when the node last ran, or still is.
pub(crate) fn ongoing(db: &dyn Database) -> Result<Option<Ongoing>, DbError> {
    let Some(bytes) = db.get(ONGOING_KEY)? else { return Ok(None) };
    let corrupt = || DbError::Corrupt("the ongoing summary".to_owned());
    let generation = generation(bytes.get(..4).ok_or_else(corrupt)?)?;
    let summary = Summary::decode(bytes.slice(4..)).map_err(|_| corrupt())?;
    Ok(Some(Ongoing { generation, summary }))
}

/// Begins a jump. What is left of another one is removed later.
pub(crate) fn begin(
    db: &dyn Database,
    batch: &mut Batch,
    current: Generation,
    summary: &Summary,
) -> Result<Generation, DbError> {
    let mut used = current;
    if let Some(ongoing) = ongoing(db)? {
        used = used.max(ongoing.generation);
        remove_later(batch, ongoing.generation);
    }
    for pair in db.iterate(&[REMOVAL_TAG], &[])? {
        used = used.max(generation(&pair?.0[1..])?);
    }
    let full = || DbError::Corrupt("the generations are used up".to_owned());
    let next = Generation(used.0.checked_add(1).ok_or_else(full)?);
    batch.put(ONGOING_KEY, [&next.0.to_be_bytes()[..], summary.bytes()].concat());
    Ok(next)
}

/// Gives a jump up. What it filled is removed later.
pub(crate) fn abandon(batch: &mut Batch, generation: Generation) {
    batch.delete(ONGOING_KEY);
    remove_later(batch, generation);
}

/// Ends a jump. What was before is removed later.
pub(crate) fn land(batch: &mut Batch, left: Generation) {
    batch.delete(ONGOING_KEY);
    remove_later(batch, left);
}

/// Whether there are generations to be removed.
pub(crate) fn has_removals(db: &dyn Database) -> Result<bool, DbError> {
    Ok(db.iterate(&[REMOVAL_TAG], &[])?.next().transpose()?.is_some())
}

/// Removes some of the records that nobody needs, at most `max`. Whether any are left.
pub(crate) fn remove_some(
    db: &dyn Database,
    batch: &mut Batch,
    max: usize,
) -> Result<bool, DbError> {
    let Some(pair) = db.iterate(&[REMOVAL_TAG], &[])?.next() else { return Ok(false) };
    let (key, _) = pair?;
    if Store::new(db, generation(&key[1..])?).remove_some(batch, max)? == 0 {
        batch.delete(key);
    }
    Ok(true)
}

fn remove_later(batch: &mut Batch, generation: Generation) {
    batch.put([&[REMOVAL_TAG], &generation.0.to_be_bytes()[..]].concat(), &b""[..]);
}

fn generation(bytes: &[u8]) -> Result<Generation, DbError> {
    let number = bytes.try_into().map(u32::from_be_bytes);
    number.map(Generation).map_err(|_| DbError::Corrupt("the number of a generation".to_owned()))
}
