//! Order and cycles of a graph, given as the needs of each node.

use std::collections::BTreeSet;

/// An order in which each node comes after all it needs, and the cycles whose nodes have no place
/// in that order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sorted {
    /// The nodes that have a place. Nodes that could stand in any order keep theirs.
    pub(super) order: Vec<usize>,
    /// Each cycle once, from its first node on; each node needs the next, and the last the first.
    pub(super) cycles: Vec<Vec<usize>>,
}

/// Sorts the nodes `0..needs.len()`.
pub(super) fn sort(needs: &[Vec<usize>]) -> Sorted {
    let mut order = Vec::new();
    let mut rest: BTreeSet<_> = (0..needs.len()).collect();
    let mut cycles = Vec::new();
    while let Some(&first) = rest.first() {
        let is_free = |node: &&usize| needs[**node].iter().all(|needed| !rest.contains(needed));
        if let Some(&free) = rest.iter().find(is_free) {
            rest.remove(&free);
            if cycles.is_empty() {
                order.push(free);
            }
            continue;
        }
        let cycle = cycle_from(first, needs, &rest);
        rest.retain(|node| !cycle.contains(node));
        cycles.push(cycle);
    }
    Sorted { order, cycles }
}

/// Returns a cycle that `start` leads to. Every node of `rest` must need another node of `rest`.
fn cycle_from(start: usize, needs: &[Vec<usize>], rest: &BTreeSet<usize>) -> Vec<usize> {
    let mut path = vec![start];
    loop {
        let last = path[path.len() - 1];
        let next = needs[last].iter().find(|needed| rest.contains(needed));
        let next = *next.expect("a node that needs none of the rest has been taken out of it");
        if let Some(at) = path.iter().position(|node| *node == next) {
            let mut cycle = path.split_off(at);
            let first = (0..cycle.len()).min_by_key(|at| cycle[*at]).unwrap_or(0);
            cycle.rotate_left(first);
            return cycle;
        }
        path.push(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_comes_after_what_it_needs_and_cycles_are_named_once() {
        type Case<'a> = (&'a str, &'a [&'a [usize]], &'a [usize], &'a [&'a [usize]]);
        #[rustfmt::skip]
        let cases: [Case<'_>; 8] = [
            ("nothing",          &[],                            &[],           &[]),
            ("a line, reversed", &[&[1], &[2], &[]],             &[2, 1, 0],    &[]),
            ("a diamond",        &[&[], &[0], &[0], &[1, 2]],    &[0, 1, 2, 3], &[]),
            ("independent",      &[&[], &[], &[]],               &[0, 1, 2],    &[]),
            ("itself",           &[&[0]],                        &[],           &[&[0]]),
            ("a cycle at the end", &[&[], &[0, 3], &[1], &[2]],  &[0],          &[&[1, 3, 2]]),
            ("two cycles",       &[&[1], &[0], &[3], &[2]],      &[],           &[&[0, 1], &[2, 3]]),
            ("before a cycle",   &[&[1], &[2], &[1]],            &[],           &[&[1, 2]]),
        ];
        for (why, needs, order, cycles) in cases {
            let needs: Vec<_> = needs.iter().map(|needs| needs.to_vec()).collect();
            let cycles = cycles.iter().map(|cycle| cycle.to_vec()).collect();
            assert_eq!(sort(&needs), Sorted { order: order.to_vec(), cycles }, "{why}");
        }
    }
}
