//! Circles of imports, among the rooms and among the files of each room.

use std::collections::{BTreeMap, BTreeSet};

use crate::paths::paths;
use crate::{Source, module_of};

/// Which module names which, by the module that both are in.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// Every circle, as a line that names those in it.
pub(crate) fn circles(sources: &[Source]) -> Vec<String> {
    let modules: BTreeSet<Vec<String>> = sources
        .iter()
        .flat_map(|source| {
            let module = module_of(&source.file);
            (1..=module.len()).map(move |depth| module[..depth].to_vec())
        })
        .collect();
    let mut graphs: BTreeMap<Vec<String>, Graph> = BTreeMap::new();
    for source in sources {
        let from = module_of(&source.file);
        for path in paths(&source.text, &from) {
            if !path.is_internal {
                continue;
            }
            let to = &path.segments;
            let common = from.iter().zip(to).take_while(|(a, b)| a == b).count();
            // The two siblings through which the paths part; a module and what it is in are none.
            if let (Some(one), Some(other)) = (from.get(common), to.get(common))
                && modules.contains(&to[..=common])
            {
                let graph = graphs.entry(from[..common].to_vec()).or_default();
                graph.entry(one.clone()).or_default().insert(other.clone());
            }
        }
    }
    let mut found = Vec::new();
    for (room, graph) in graphs {
        for circle in circles_of(&graph) {
            let names: Vec<_> = circle.into_iter().collect();
            found.push(format!("{}: {}", room.join("/"), names.join(", ")));
        }
    }
    found
}

/// The sets of nodes that reach each other.
fn circles_of(graph: &Graph) -> BTreeSet<BTreeSet<String>> {
    let reached: BTreeMap<&String, BTreeSet<String>> = graph
        .keys()
        .map(|from| (from, reach(graph, from)))
        .collect();
    let is_reached =
        |from: &String, to: &String| reached.get(from).is_some_and(|nodes| nodes.contains(to));
    graph
        .keys()
        .filter(|node| is_reached(node, node))
        .map(|node| {
            let others = graph.keys();
            let others = others.filter(|other| is_reached(node, other) && is_reached(other, node));
            others.cloned().collect()
        })
        .collect()
}

/// What can be reached from a node in one step or more.
fn reach(graph: &Graph, from: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut todo = vec![from.to_owned()];
    while let Some(node) = todo.pop() {
        for next in graph.get(&node).into_iter().flatten() {
            if reached.insert(next.clone()) {
                todo.push(next.clone());
            }
        }
    }
    reached
}
