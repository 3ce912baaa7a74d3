//! The places of the watches on the agenda, in chunks: a place never moves, so that growth
//! copies nothing, and a watch costs no allocation. A place is found by its number, or by the
//! id of its watch.

use std::time::Duration;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Found;

use crate::schedule::Duty;
use crate::schedule::reason::Reason;
use crate::watch::WatchId;
use crate::watch::entry::Entry;

/// The places in one chunk; below the size for which an allocator maps pages of their own.
const CHUNK: usize = 512;

/// Stands for a watch without an answer since this process started.
const NEVER: u32 = u32::MAX;

/// One watch on the agenda.
#[derive(Debug)]
pub(super) struct Scheduled {
    pub(super) entry: Entry,
    /// The uptime at which it is due, in microseconds.
    pub(super) due: u64,
    /// The uptime of the last answer, in whole seconds; [`NEVER`] before the first.
    answered: u32,
    pub(super) duty: Duty,
    /// The reason why it is due then.
    pub(super) reason: Reason,
    /// True if a poll was requested while the watch was taken.
    pub(super) poll_requested: bool,
    /// True if it was taken and set aside: no poll of it may start.
    pub(super) is_set_aside: bool,
}

impl Scheduled {
    pub(super) fn new(entry: Entry, duty: Duty, reason: Reason, due: u64) -> Self {
        Self {
            entry,
            due,
            answered: NEVER,
            duty,
            reason,
            poll_requested: false,
            is_set_aside: false,
        }
    }

    /// Notes that there was an answer. The time is rounded up, so that a wait counted from it is never
    /// too short.
    pub(super) fn note_answer(&mut self, uptime: Duration) {
        let secs = uptime.as_secs() + u64::from(uptime.subsec_nanos() > 0);
        self.answered = u32::try_from(secs).unwrap_or(NEVER);
    }

    /// Returns the uptime of the last answer; `None` before the first of this process.
    pub(super) fn answered(&self) -> Option<Duration> {
        let is_any = self.answered != NEVER;
        is_any.then(|| Duration::from_secs(self.answered.into()))
    }
}

/// A reference to an entry; valid until the entry is scheduled again or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    place: u32,
    generation: u32,
}

impl Ticket {
    pub(super) fn new(place: u32, generation: u32) -> Self {
        Self { place, generation }
    }

    /// Returns the number of the place.
    pub(super) fn place(self) -> u32 {
        self.place
    }

    pub(super) fn generation(self) -> u32 {
        self.generation
    }
}

#[derive(Debug, Default)]
struct Place {
    watch: Option<Scheduled>,
    /// Grows each time the place is scheduled or freed, which makes older tickets invalid.
    generation: u32,
}

/// All places; see the module.
#[derive(Debug, Default)]
pub(super) struct Places {
    chunks: Vec<Vec<Place>>,
    free: Vec<u32>,
    by_id: HashTable<u32>,
}

impl Places {
    /// Returns the number of watches.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Returns all watches, in the order of their places.
    pub(super) fn all(&self) -> impl Iterator<Item = &Scheduled> {
        let places = self.chunks.iter().flatten();
        places.filter_map(|place| place.watch.as_ref())
    }

    /// Puts a watch into a place. Returns `None` if it has one already.
    pub(super) fn add(&mut self, watch: Scheduled) -> Option<Ticket> {
        let Self {
            chunks,
            free,
            by_id,
        } = self;
        let id = watch.entry.id;
        let rehash = |index: &u32| at(chunks, *index).map_or(0, |watch| hash_of(watch.entry.id));
        let is_it = |index: &u32| at(chunks, *index).is_some_and(|watch| watch.entry.id == id);
        let Found::Vacant(vacant) = by_id.entry(hash_of(id), is_it, rehash) else {
            return None;
        };
        let index = free.pop().unwrap_or_else(|| next_index(chunks));
        vacant.insert(index);
        let (chunk, place) = split(index);
        if chunk == chunks.len() {
            chunks.push(Vec::with_capacity(CHUNK));
        }
        let chunk = &mut chunks[chunk];
        if place == chunk.len() {
            chunk.push(Place::default());
        }
        let place = &mut chunk[place];
        place.watch = Some(watch);
        Some(Ticket::new(index, place.generation))
    }

    /// Returns the number of the place of a watch.
    pub(super) fn find(&self, id: WatchId) -> Option<u32> {
        let is_it = |index: &u32| self.at(*index).is_some_and(|watch| watch.entry.id == id);
        self.by_id.find(hash_of(id), is_it).copied()
    }

    /// Returns the watch in a place.
    pub(super) fn at(&self, index: u32) -> Option<&Scheduled> {
        at(&self.chunks, index)
    }

    /// Returns the watch in a place for changes.
    pub(super) fn at_mut(&mut self, index: u32) -> Option<&mut Scheduled> {
        self.place_mut(index)?.watch.as_mut()
    }

    /// Returns the watch of a ticket; `None` if the ticket is not valid any more.
    pub(super) fn get(&self, ticket: Ticket) -> Option<&Scheduled> {
        let (chunk, place) = split(ticket.place());
        let place = self.chunks.get(chunk)?.get(place)?;
        (place.generation == ticket.generation()).then_some(place.watch.as_ref())?
    }

    /// Returns the watch of a ticket for changes; `None` if the ticket is not valid any more.
    pub(super) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Scheduled> {
        let place = self.place_mut(ticket.place())?;
        (place.generation == ticket.generation()).then_some(place.watch.as_mut())?
    }

    /// Makes all tickets of a place invalid, and returns the one that is valid from now on.
    pub(super) fn renew(&mut self, index: u32) -> Option<Ticket> {
        let place = self.place_mut(index)?;
        place.generation = place.generation.wrapping_add(1);
        Some(Ticket::new(index, place.generation))
    }

    /// Removes a watch, and frees its place.
    pub(super) fn remove(&mut self, id: WatchId) -> Option<Scheduled> {
        let Self { chunks, by_id, .. } = self;
        let is_it = |index: &u32| at(chunks, *index).is_some_and(|watch| watch.entry.id == id);
        let found = by_id.find_entry(hash_of(id), is_it).ok()?;
        let (index, _) = found.remove();
        let watch = self.place_mut(index)?.watch.take();
        self.renew(index);
        self.free.push(index);
        watch
    }

    fn place_mut(&mut self, index: u32) -> Option<&mut Place> {
        let (chunk, place) = split(index);
        self.chunks.get_mut(chunk)?.get_mut(place)
    }
}

fn at(chunks: &[Vec<Place>], index: u32) -> Option<&Scheduled> {
    let (chunk, place) = split(index);
    chunks.get(chunk)?.get(place)?.watch.as_ref()
}

/// Returns the number of the first place that was never used.
fn next_index(chunks: &[Vec<Place>]) -> u32 {
    let last = chunks.last().map_or(0, Vec::len);
    let before = chunks.len().saturating_sub(1) * CHUNK;
    u32::try_from(before + last).expect("fewer than 2^32 watches fit in memory")
}

/// Returns the chunk of a place, and the place in it.
fn split(index: u32) -> (usize, usize) {
    (index as usize / CHUNK, index as usize % CHUNK)
}

/// Returns a number that spreads ids. They have 74 random bits that jobwatch drew itself, so no
/// client can choose colliding ids, and the hash needs no secret.
fn hash_of(id: WatchId) -> u64 {
    let (high, low) = id.0.as_u64_pair();
    let mixed = (high ^ low.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::tracking::Tracking;
    use jiff::Timestamp;
    use std::sync::Arc;
    use uuid::Uuid;

    fn id(n: u128) -> WatchId {
        WatchId(Uuid::from_u128(n))
    }

    fn watch(n: u128) -> Scheduled {
        let times = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        let tracking = Tracking::default();
        let entry = Entry::new(id(n), "dcs".into(), "job", Arc::default(), times, tracking);
        Scheduled::new(entry, Duty::Poll, Reason::First, 0)
    }

    #[test]
    fn a_place_is_as_small_as_planned() {
        assert!(size_of::<Place>() <= 184, "{}", size_of::<Place>());
    }

    #[test]
    fn places_of_removed_watches_are_used_again() {
        let many = 3 * CHUNK as u128;
        let mut places = Places::default();
        for n in 0..many {
            assert!(places.add(watch(n)).is_some());
            assert!(places.add(watch(n)).is_none(), "it has one");
        }
        for n in (0..many).step_by(2) {
            assert!(places.remove(id(n)).is_some());
            assert!(places.remove(id(n)).is_none());
        }
        for n in many..many + many / 2 {
            assert!(places.add(watch(n)).is_some());
        }
        assert_eq!((places.len(), places.chunks.len()), (3 * CHUNK, 3));
        for n in (1..many).step_by(2).chain(many..many + many / 2) {
            let index = places.find(id(n)).unwrap();
            assert_eq!(places.at(index).unwrap().entry.id, id(n));
        }
        assert_eq!(places.find(id(2)), None);
    }
}
