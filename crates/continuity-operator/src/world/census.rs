//! How many nodes count now, looked up once a moment: every set and policy of a pass asks the same.

use super::World;
use crate::moment::Moment;

/// Nodes whose agent can be counted on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// All of them.
    pub fresh: usize,
    /// Those whose report had to leave sets out.
    pub truncated: usize,
}

impl World {
    /// The census of this moment.
    #[must_use]
    pub fn census(&self, now: Moment) -> Census {
        if let Some((at, census)) = self.counted.get()
            && at == now
        {
            return census;
        }
        let mut census = Census::default();
        for (_, node) in self.fresh_nodes(now) {
            census.fresh += 1;
            census.truncated += usize::from(node.truncated);
        }
        self.counted.set(Some((now, census)));
        census
    }
}

#[cfg(test)]
mod tests {
    use crate::sample::{Scene, at, node, report};

    #[test]
    fn a_node_that_comes_or_falls_silent_is_counted_at_once() {
        let scene = Scene::new().node(node("a", 1, vec![report(1)]));
        assert_eq!(scene.world.census(at(1)).fresh, 1);
        let scene = scene.node(node("b", 1, vec![report(1)]));
        assert_eq!(scene.world.census(at(1)).fresh, 2);
        assert_eq!(scene.world.census(at(10_000)).fresh, 0);
    }
}
