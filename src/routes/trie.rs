//! The segment trie behind a route table.
//!
//! All tries of a table share one list of nodes and one hash table of edges,
//! keyed by (node, segment), so that a step costs the same however many
//! children a node has. The method is the first step. A placeholder is tried
//! where the static child leads to no route. Since a tree has one way to each
//! node, no node is visited twice, and a path of n segments visits at most 2^n
//! of them; templates as they occur branch in one or two places.

use smallvec::SmallVec;

const NONE: u32 = u32::MAX;

/// Parameters of a match, in template order.
pub(super) type Parameters<'p> = SmallVec<[&'p [u8]; 8]>;

#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
    /// Open addressing, a power of two long, at most half full.
    edges: Vec<Edge>,
    edge_count: usize,
    /// The bytes of all static segments.
    text: Vec<u8>,
    /// Segments of the longest template.
    depth: usize,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    placeholder: u32,
    route: u32,
    /// Bit n: there is a static child of n bytes, or of a multiple of 64 more. Where an id stands
    /// there mostly is none of its length, so that it is not hashed.
    lengths: u64,
}

#[derive(Clone, Copy, Debug)]
struct Edge {
    hash: u32,
    from: u32,
    to: u32,
    start: u32,
    length: u32,
}

const FREE: Edge = Edge { hash: 0, from: NONE, to: NONE, start: 0, length: 0 };
const LEAF: Node = Node { placeholder: NONE, route: NONE, lengths: 0 };

impl Trie {
    /// A trie with this many roots, numbered from 0.
    pub(super) fn new(roots: usize) -> Self {
        Self { nodes: vec![LEAF; roots], edges: vec![FREE; 16], edge_count: 0, text: Vec::new(), depth: 0 }
    }

    /// Segments of the longest template.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// Adds a template; a segment that begins with `:` is a placeholder. False,
    /// and no change, if this root has a route there already.
    pub(super) fn insert(&mut self, root: u32, method: &str, segments: &[&str], route: u32) -> bool {
        let mut node = self.child(root, method.as_bytes());
        for segment in segments {
            node = if segment.starts_with(':') {
                self.placeholder(node)
            } else {
                self.child(node, segment.as_bytes())
            };
        }
        self.depth = self.depth.max(segments.len());
        let free = self.nodes[node as usize].route == NONE;
        if free {
            self.nodes[node as usize].route = route;
        }
        free
    }

    /// The route of this path under this root.
    pub(super) fn find<'p>(
        &self,
        root: u32,
        method: &[u8],
        segments: &[&'p [u8]],
    ) -> Option<(u32, Parameters<'p>)> {
        let node = self.edge(root, method)?;
        let mut parameters = Parameters::new();
        self.walk(node, segments, &mut parameters).map(|route| (route, parameters))
    }

    /// Goes no deeper than the longest template, since no node is deeper.
    fn walk<'p>(&self, node: u32, segments: &[&'p [u8]], parameters: &mut Parameters<'p>) -> Option<u32> {
        let here = self.nodes[node as usize];
        let Some((segment, rest)) = segments.split_first() else {
            return (here.route != NONE).then_some(here.route);
        };
        if here.lengths & length_bit(segment) != 0
            && let Some(child) = self.edge(node, segment)
            && let Some(route) = self.walk(child, rest, parameters)
        {
            return Some(route);
        }
        if here.placeholder == NONE {
            return None;
        }
        parameters.push(segment);
        let route = self.walk(here.placeholder, rest, parameters);
        if route.is_none() {
            parameters.pop();
        }
        route
    }

    #[inline]
    fn edge(&self, from: u32, segment: &[u8]) -> Option<u32> {
        let hash = hash(from, segment);
        let mask = self.edges.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let edge = &self.edges[slot];
            if edge.from == NONE {
                return None;
            }
            if edge.hash == hash && edge.from == from && self.segment(edge) == segment {
                return Some(edge.to);
            }
            slot = (slot + 1) & mask;
        }
    }

    fn segment(&self, edge: &Edge) -> &[u8] {
        &self.text[edge.start as usize..][..edge.length as usize]
    }

    fn placeholder(&mut self, node: u32) -> u32 {
        if self.nodes[node as usize].placeholder == NONE {
            self.nodes[node as usize].placeholder = self.node();
        }
        self.nodes[node as usize].placeholder
    }

    fn child(&mut self, from: u32, segment: &[u8]) -> u32 {
        if let Some(child) = self.edge(from, segment) {
            return child;
        }
        if (self.edge_count + 1) * 2 > self.edges.len() {
            let old = std::mem::replace(&mut self.edges, vec![FREE; 0]);
            self.edges = vec![FREE; old.len() * 2];
            old.into_iter().filter(|edge| edge.from != NONE).for_each(|edge| self.place(edge));
        }
        let to = self.node();
        let (start, length) = (self.text.len() as u32, segment.len() as u32);
        self.text.extend_from_slice(segment);
        self.place(Edge { hash: hash(from, segment), from, to, start, length });
        self.edge_count += 1;
        self.nodes[from as usize].lengths |= length_bit(segment);
        to
    }

    fn place(&mut self, edge: Edge) {
        let mask = self.edges.len() - 1;
        let mut slot = edge.hash as usize & mask;
        while self.edges[slot].from != NONE {
            slot = (slot + 1) & mask;
        }
        self.edges[slot] = edge;
    }

    fn node(&mut self) -> u32 {
        self.nodes.push(LEAF);
        (self.nodes.len() - 1) as u32
    }
}

#[inline]
fn length_bit(segment: &[u8]) -> u64 {
    1 << (segment.len() % 64)
}

/// A multiplicative hash over words of 8 bytes. The table holds what the
/// catalogues name and nothing that a client sends, so a client can at worst
/// probe the longest run of the half-empty table.
#[inline]
fn hash(from: u32, segment: &[u8]) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = (u64::from(from) << 32 | segment.len() as u64).wrapping_mul(FACTOR);
    let (words, tail) = segment.as_chunks::<8>();
    for word in words {
        state = (state.rotate_left(29) ^ u64::from_le_bytes(*word)).wrapping_mul(FACTOR);
    }
    let tail = tail.iter().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
    state = (state.rotate_left(29) ^ tail).wrapping_mul(FACTOR);
    (state >> 32) as u32
}
