//! Which connection of a capture carried which request. Pure.

use std::collections::BTreeMap;

/// A client's port, and when the connection began, in nanoseconds.
pub(crate) type Opened = (u16, i64);

/// Pairs of indices: a request and its connection, by the client's port. The kernel may give a port
/// out again: then the first goes with the first, and where one side has fewer of a port than the
/// other, none of that port is paired.
pub(crate) fn by_port(requests: &[Opened], connections: &[Opened]) -> Vec<(usize, usize)> {
    let (requests, mut connections) = (grouped(requests), grouped(connections));
    let mut pairs = Vec::new();
    for (port, mine) in requests {
        let theirs = connections.remove(&port).unwrap_or_default();
        if mine.len() == theirs.len() {
            pairs.extend(mine.into_iter().zip(theirs));
        }
    }
    pairs
}

/// Indices by port, in the order of time.
fn grouped(all: &[Opened]) -> BTreeMap<u16, Vec<usize>> {
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|index| all.get(*index).map(|(_, at)| *at));
    let mut groups: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    for index in order {
        if let Some((port, _)) = all.get(index) {
            groups.entry(*port).or_default().push(index);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::by_port;

    #[test]
    fn requests_find_their_connections() {
        let requests = [(40_000, 10), (40_002, 20), (40_004, 30)];
        let connections = [(40_002, 21), (40_000, 11), (50_000, 5)];
        assert_eq!(by_port(&requests, &connections), [(0, 1), (1, 0)]);
    }

    #[test]
    fn a_port_that_is_used_again_is_paired_in_order() {
        let requests = [(40_000, 90), (40_000, 10)];
        let connections = [(40_000, 11), (40_000, 91)];
        let mut pairs = by_port(&requests, &connections);
        pairs.sort_unstable();
        assert_eq!(pairs, [(0, 1), (1, 0)]);
        // One connection is not in the capture: nobody knows which.
        assert_eq!(by_port(&requests, &connections[..1]), []);
    }
}
