//! Unused memory: that of all, and the arenas of passes.
//!
//! An arena is the memory of one pass through a network. A pass that allocates and frees in the same
//! order as before gets the same addresses from it, which a graph requires. Memory that is still in use
//! when the pass starts again, such as an output that was kept, leaves the arena.
//!
//! A pass whose operations are not submitted yet may still read memory that was freed meanwhile. So
//! memory that is freed waits until the passes that were running have submitted theirs; only the pass
//! itself reuses its own arena at once, because its operations keep their order.

use std::collections::{BTreeMap, BTreeSet};

use super::driver::{Address, Driver};

/// Identifies an arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ArenaId(u64);

/// Identifies a pass whose operations are held back. Later passes have larger numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HeldPass(u64);

/// An allocation of the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Block {
    /// Its size in bytes.
    pub(super) bytes: usize,
    pub(super) address: Address,
    /// The arena to which it belongs.
    pub(super) arena: Option<ArenaId>,
}

#[derive(Debug, Default)]
struct Arena {
    unused: BTreeSet<(usize, Address)>,
    /// Number of blocks that are in use.
    in_use: usize,
    /// Requested bytes and block of every allocation of the last run, in order.
    plan: Vec<(usize, (usize, Address))>,
    /// Number of allocations of this run.
    next: usize,
}

impl Arena {
    /// Takes the block of the last run's allocation with this number; `None` if the run allocates
    /// something else, or that block is in use.
    fn take_planned(&mut self, bytes: usize) -> Option<(usize, Address)> {
        let (planned, block) = *self.plan.get(self.next)?;
        if planned == bytes && self.unused.remove(&block) {
            self.next += 1;
            self.in_use += 1;
            return Some(block);
        }
        self.plan.truncate(self.next);
        None
    }

    fn take_fitting(&mut self, bytes: usize) -> Option<(usize, Address)> {
        let first = (bytes, Address::NULL);
        let last = (most(bytes), Address(u64::MAX));
        let block = *self.unused.range(first..=last).next()?;
        self.unused.remove(&block);
        self.add(bytes, block);
        Some(block)
    }

    /// Notes that an allocation got a block that is not planned.
    fn add(&mut self, bytes: usize, block: (usize, Address)) {
        self.plan.push((bytes, block));
        self.next += 1;
        self.in_use += 1;
    }
}

/// Returns the size of the largest block for so many bytes: an eighth more.
fn most(bytes: usize) -> usize {
    bytes + bytes / 8
}

/// Unused allocations by size, and statistics.
#[derive(Debug, Default)]
pub(super) struct AllocationPool {
    unused: BTreeMap<usize, Vec<Address>>,
    arenas: BTreeMap<ArenaId, Arena>,
    next_arena: u64,
    held_passes: BTreeSet<HeldPass>,
    next_pass: u64,
    /// Freed blocks, each with the first pass that started after it was freed.
    waiting: Vec<(HeldPass, Block)>,
    /// Bytes that the driver has allocated.
    held: u64,
    /// Maximum of `held`.
    peak: u64,
}

impl AllocationPool {
    /// Takes an unused block of at least `bytes` and at most an eighth more, from an arena if one is given
    /// and has one.
    pub(super) fn reuse(&mut self, bytes: usize, arena: Option<ArenaId>) -> Option<Block> {
        let own = arena.and_then(|id| {
            let arena = self.arenas.get_mut(&id)?;
            arena
                .take_planned(bytes)
                .or_else(|| arena.take_fitting(bytes))
        });
        if let Some((bytes, address)) = own {
            return Some(Block {
                bytes,
                address,
                arena,
            });
        }
        let mut sizes = self.unused.range_mut(bytes..=most(bytes));
        let (size, unused) = sizes.find(|(_, unused)| !unused.is_empty())?;
        let (size, address) = (*size, unused.pop()?);
        Some(self.assigned(bytes, size, address, arena))
    }

    /// Takes a block that the driver has allocated.
    pub(super) fn hold(&mut self, bytes: usize, address: Address, arena: Option<ArenaId>) -> Block {
        self.held += bytes as u64;
        self.peak = self.peak.max(self.held);
        self.assigned(bytes, bytes, address, arena)
    }

    /// Makes a block a part of an arena, if one is given and exists.
    fn assigned(
        &mut self,
        requested: usize,
        bytes: usize,
        address: Address,
        arena: Option<ArenaId>,
    ) -> Block {
        let found = arena.and_then(|id| self.arenas.get_mut(&id));
        let arena = arena.filter(|_| found.is_some());
        if let Some(found) = found {
            found.add(requested, (bytes, address));
        }
        Block {
            bytes,
            address,
            arena,
        }
    }

    /// Takes back a block. `own` is the arena of the pass that this thread runs.
    pub(super) fn release(&mut self, block: Block, own: Option<ArenaId>) {
        let is_own = block.arena.is_some() && block.arena == own;
        if self.held_passes.is_empty() || is_own {
            self.give_back(block);
        } else {
            self.waiting.push((HeldPass(self.next_pass), block));
        }
    }

    fn give_back(&mut self, block: Block) {
        let Block {
            bytes,
            address,
            arena,
        } = block;
        match arena.and_then(|id| self.arenas.get_mut(&id)) {
            Some(arena) => {
                arena.unused.insert((bytes, address));
                arena.in_use -= 1;
            }
            None => self.unused.entry(bytes).or_default().push(address),
        }
    }

    /// Notes that a pass holds its operations back from now on.
    pub(super) fn begin_holding(&mut self) -> HeldPass {
        let pass = HeldPass(self.next_pass);
        self.next_pass += 1;
        self.held_passes.insert(pass);
        pass
    }

    /// Notes that a pass has submitted its operations, or dropped them.
    pub(super) fn end_holding(&mut self, pass: HeldPass) {
        self.held_passes.remove(&pass);
        let oldest = self.held_passes.first().copied();
        let may_return = |until: HeldPass| oldest.is_none_or(|oldest| until <= oldest);
        let waiting = std::mem::take(&mut self.waiting);
        let (ready, waiting) = waiting
            .into_iter()
            .partition::<Vec<_>, _>(|(until, _)| may_return(*until));
        self.waiting = waiting;
        for (_, block) in ready {
            self.give_back(block);
        }
    }

    /// Returns an arena for the next run of a pass: that of the last run without the blocks that are still
    /// in use, or a new one.
    pub(super) fn begin_arena(&mut self, last: Option<ArenaId>) -> ArenaId {
        let mut arena = last
            .and_then(|id| self.arenas.remove(&id))
            .unwrap_or_default();
        arena.next = 0;
        let id = match last {
            Some(id) if arena.in_use == 0 => id,
            // Blocks that are in use have the old number, and go to the pool of all.
            _ => {
                self.next_arena += 1;
                arena.in_use = 0;
                ArenaId(self.next_arena)
            }
        };
        self.arenas.insert(id, arena);
        id
    }

    /// Gives the blocks of an arena to the pool of all.
    pub(super) fn end_arena(&mut self, id: ArenaId) {
        for (bytes, address) in self.arenas.remove(&id).unwrap_or_default().unused {
            self.unused.entry(bytes).or_default().push(address);
        }
    }

    /// Returns the peak of allocated bytes.
    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    /// Frees all unused allocations, except those of arenas. The driver may keep their memory.
    pub(super) fn trim(&mut self, driver: &dyn Driver) {
        for (size, addresses) in std::mem::take(&mut self.unused) {
            for address in addresses {
                driver.free(address);
                self.held -= size as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a block, which the driver allocates at `new` if there is none.
    fn take(pool: &mut AllocationPool, bytes: usize, new: u64, arena: Option<ArenaId>) -> Block {
        pool.reuse(bytes, arena)
            .unwrap_or_else(|| pool.hold(bytes, Address(new), arena))
    }

    /// Runs a pass that frees its first block before it takes the third, and returns their addresses.
    fn run(pool: &mut AllocationPool, arena: ArenaId, new: u64) -> [Block; 3] {
        let own = Some(arena);
        let first = take(pool, 512, new, own);
        let second = take(pool, 1024, new + 1, own);
        pool.release(first, own);
        [first, second, take(pool, 512, new + 2, own)]
    }

    #[test]
    fn a_pass_gets_the_same_addresses_again() {
        let mut pool = AllocationPool::default();
        let arena = pool.begin_arena(None);
        let [first, second, third] = run(&mut pool, arena, 1);
        assert_eq!(third, first, "memory is reused within the pass");
        for block in [second, third] {
            pool.release(block, None);
        }
        assert_eq!(pool.reuse(512, None), None, "the memory is the arena's own");
        assert_eq!(pool.begin_arena(Some(arena)), arena);
        assert_eq!(run(&mut pool, arena, 100), [first, second, third]);
    }

    #[test]
    fn memory_in_use_leaves_the_arena() {
        let mut pool = AllocationPool::default();
        let arena = pool.begin_arena(None);
        let [first, second, _] = run(&mut pool, arena, 1);
        pool.release(first, None);
        let next = pool.begin_arena(Some(arena));
        assert_ne!(next, arena);
        let again = run(&mut pool, next, 100);
        assert_eq!(again[0].address, first.address);
        assert_ne!(again[1].address, second.address, "it is in use");
        pool.release(second, None);
        let outside = pool.reuse(1024, None).expect("it went to the pool of all");
        assert_eq!((outside.address, outside.arena), (second.address, None));
    }

    #[test]
    fn freed_memory_waits_for_the_passes_that_run() {
        let mut pool = AllocationPool::default();
        let block = take(&mut pool, 512, 1, None);
        let first = pool.begin_holding();
        pool.release(block, None);
        let second = pool.begin_holding();
        assert_eq!(pool.reuse(512, None), None, "the first pass may read it");
        pool.end_holding(first);
        assert_eq!(
            pool.reuse(512, None),
            Some(block),
            "the second pass cannot read what was freed before it started"
        );
        pool.end_holding(second);
    }

    #[test]
    fn the_memory_of_an_ended_arena_is_free() {
        let mut pool = AllocationPool::default();
        let arena = pool.begin_arena(None);
        let blocks = run(&mut pool, arena, 1);
        pool.release(blocks[1], None);
        pool.end_arena(arena);
        pool.release(blocks[2], None);
        assert!(pool.reuse(512, None).is_some() && pool.reuse(1024, None).is_some());
    }
}
