//! Counts the votes that reach each snowflake instance.
//!
//! The blocks voted for and all their known ancestors are the vertices of a forest. A vote counts
//! for its block and each ancestor. Where a vertex has several children, its snowball tree has an
//! instance for each bit prefix that some of them share; that one is reached by the votes for these
//! children together. The empty prefix is no instance of its own: it is the parent.
//!
//! A vote adds to the vertices above it. Nothing is counted again unless the block tree changed.

use sastrugi_types::{
    Bag, Id, IdBuildHasher, IdMap,
    bits::{ID_BITS, bit, first_difference},
};

use super::super::ParentView;

/// A block that got votes, or whose descendants did.
#[derive(Clone, Copy, Debug)]
struct Vertex {
    id: Id,
    /// Votes for the block itself.
    own: usize,
    /// Votes for it and its descendants.
    total: usize,
    parent: Option<u32>,
    first_child: Option<u32>,
    next_sibling: Option<u32>,
}

/// The votes of one poll.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    vertices: Vec<Vertex>,
    numbers: IdMap<u32>,
    /// Vertices with more than one child.
    forks: Vec<u32>,
    /// How many vertices have so many votes in total, by that number.
    with_total: Vec<u32>,
    /// Number of votes.
    len: usize,
    /// The version of the block tree that the vertices were linked with.
    version: u64,
    /// Scratch memory: votes to count again.
    recount: Vec<(Id, usize)>,
    /// Scratch memory: the children of a fork.
    children: Vec<(Id, usize)>,
}

impl Tally {
    pub(super) fn new(hasher: IdBuildHasher) -> Self {
        Self {
            vertices: Vec::new(),
            numbers: IdMap::with_hasher(hasher),
            forks: Vec::new(),
            with_total: Vec::new(),
            len: 0,
            version: 0,
            recount: Vec::new(),
            children: Vec::new(),
        }
    }

    /// Forgets all votes.
    pub(super) fn clear(&mut self) {
        self.vertices.clear();
        self.numbers.clear();
        self.forks.clear();
        self.with_total.clear();
        self.len = 0;
    }

    /// Number of votes.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The votes as they came in.
    pub(super) fn votes(&self) -> Bag<Id> {
        let voted = self.vertices.iter().filter(|vertex| vertex.own > 0);
        let mut votes = Bag::with_capacity(voted.clone().count());
        for vertex in voted {
            votes.add_count(vertex.id, vertex.own);
        }
        votes
    }

    /// Adds votes for a block.
    pub(super) fn add(&mut self, block: Id, count: usize, tree: &dyn ParentView) {
        if self.vertices.is_empty() {
            self.version = tree.version();
        } else {
            self.update(tree);
        }
        self.count(block, count, tree);
    }

    /// Whether `settled` holds for the number of votes of each instance that got any.
    pub(super) fn all(&mut self, settled: impl Fn(usize) -> bool, tree: &dyn ParentView) -> bool {
        self.update(tree);
        let mut totals = self.with_total.iter().enumerate().rev();
        totals.all(|(total, vertices)| *vertices == 0 || settled(total))
            && self.all_prefixes(&settled)
    }

    /// Counts again if the block tree changed.
    fn update(&mut self, tree: &dyn ParentView) {
        if self.version == tree.version() {
            return;
        }
        let mut recount = std::mem::take(&mut self.recount);
        recount.clear();
        let voted = self.vertices.iter().filter(|vertex| vertex.own > 0);
        recount.extend(voted.map(|vertex| (vertex.id, vertex.own)));
        self.clear();
        self.version = tree.version();
        for (block, count) in &recount {
            self.count(*block, *count, tree);
        }
        self.recount = recount;
    }

    fn count(&mut self, block: Id, count: usize, tree: &dyn ParentView) {
        self.len += count;
        self.with_total.resize(self.len + 1, 0);
        let number = match self.numbers.get(&block) {
            Some(number) => *number,
            None => self.insert(block, tree),
        };
        self.vertices[number as usize].own += count;
        let mut next = Some(number);
        while let Some(number) = next {
            let vertex = &mut self.vertices[number as usize];
            if vertex.total > 0 {
                self.with_total[vertex.total] -= 1;
            }
            vertex.total += count;
            self.with_total[vertex.total] += 1;
            next = vertex.parent;
        }
    }

    /// Adds a vertex for `block` and for each of its ancestors that has none.
    fn insert(&mut self, block: Id, tree: &dyn ParentView) -> u32 {
        let first = self.push(block);
        let (mut child, mut id) = (first, block);
        while let Some(parent) = tree.parent_of(&id) {
            if let Some(known) = self.numbers.get(&parent).copied() {
                // One of those just added can only come again if ancestry went in a circle.
                if known < first {
                    self.link(child, known);
                }
                break;
            }
            let number = self.push(parent);
            self.link(child, number);
            (child, id) = (number, parent);
        }
        first
    }

    fn push(&mut self, id: Id) -> u32 {
        let number = self.vertices.len() as u32;
        self.numbers.insert(id, number);
        self.vertices.push(Vertex {
            id,
            own: 0,
            total: 0,
            parent: None,
            first_child: None,
            next_sibling: None,
        });
        number
    }

    fn link(&mut self, child: u32, parent: u32) {
        let sibling = self.vertices[parent as usize].first_child.replace(child);
        if sibling.is_some_and(|only| self.vertices[only as usize].next_sibling.is_none()) {
            self.forks.push(parent);
        }
        let child = &mut self.vertices[child as usize];
        child.parent = Some(parent);
        child.next_sibling = sibling;
    }

    /// Whether `settled` holds for each prefix that children of a fork share.
    fn all_prefixes(&mut self, settled: &impl Fn(usize) -> bool) -> bool {
        let mut children = std::mem::take(&mut self.children);
        let all = self.forks.iter().all(|fork| {
            children.clear();
            let mut next = self.vertices[*fork as usize].first_child;
            while let Some(child) = next {
                let Vertex { id, total, next_sibling, .. } = self.vertices[child as usize];
                children.push((id, total));
                next = next_sibling;
            }
            prefixes_settled(&mut children, 0, settled)
        });
        self.children = children;
        all
    }
}

/// Whether `settled` holds for each prefix, longer than nothing, at whose end some of `children`
/// part. They agree on the bits before `start`.
fn prefixes_settled(
    children: &mut [(Id, usize)],
    start: usize,
    settled: &impl Fn(usize) -> bool,
) -> bool {
    let Some(((first, _), others)) = children.split_first() else { return true };
    let parting = |(other, _): &(Id, usize)| first_difference(start, ID_BITS, first, other);
    let Some(end) = others.iter().filter_map(parting).min() else { return true };
    if end > 0 && !settled(children.iter().map(|(_, votes)| votes).sum()) {
        return false;
    }
    children.sort_unstable_by_key(|(id, _)| bit(id, end));
    let ones = children.partition_point(|(id, _)| bit(id, end) == 0);
    let (zeros, ones) = children.split_at_mut(ones);
    prefixes_settled(zeros, end + 1, settled) && prefixes_settled(ones, end + 1, settled)
}
