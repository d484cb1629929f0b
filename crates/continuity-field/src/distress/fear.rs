//! What neighbours make of a node's distress: its backends are judged a little sooner and weigh a little more, no more.
//!
//! `fear` = 0.1 for a strained node, 0.2 for a drowning one; it falls by e in 30 s when nothing is said any more. It takes
//! at most that part off the octaves by which a backend must be late before it counts as gray (8 × → 5.3 ×), and adds
//! 0.5 or 1 to its pressure. Where half or more of the backends in use are on nodes in distress nothing of it counts:
//! what they share is in trouble then, and fear of everybody would only hide it.

use super::Distress;
use crate::track::Track;
use crate::{BackendSample, Reason};

/// Memory of fear, s.
const MEMORY: f64 = 30.0;
/// Below this it is none.
const LEAST: f64 = 1e-3;

/// Fear for one backend, 0 ..= 0.2.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Fear {
    part: f64,
}

crate::save::code::stored! {
    Fear { part }
}

impl Fear {
    /// One look of `dt` seconds; `none` where so many are in distress that it says nothing.
    pub(crate) fn look(&mut self, said: Distress, none: bool, dt: f64) {
        if said == Distress::Well && self.part == 0.0 {
            return;
        }
        let fresh = match said {
            _ if none => 0.0,
            Distress::Well => 0.0,
            Distress::Strained => 0.1,
            Distress::Drowning => 0.2,
        };
        let faded = if none {
            0.0
        } else {
            self.part * libm::exp(-dt / MEMORY)
        };
        self.part = f64::max(fresh, faded);
        if self.part < LEAST {
            self.part = 0.0;
        }
    }

    /// Part taken off a threshold, 0 ..= 0.2.
    pub(crate) fn part(self) -> f64 {
        self.part
    }

    /// Added to the pressure, 0 ..= 1.
    pub(crate) fn pressure(self) -> f64 {
        5.0 * self.part
    }
}

/// One look at what the node of a backend says of itself.
pub(crate) fn heed(
    track: &mut Track,
    sample: &BackendSample,
    none: bool,
    reasons: &mut Vec<Reason>,
    dt: f64,
) {
    let distress = sample.host.map_or(Distress::Well, |host| host.distress);
    if distress != track.distress {
        track.distress = distress;
        reasons.push(Reason::HostDistress {
            backend: track.id,
            distress,
        });
    }
    track.fear.look(distress, none, dt);
}

/// Half or more of `all` are in distress: it is not them.
pub(crate) fn shared(distressed: usize, all: usize) -> bool {
    distressed * 2 >= all
}
