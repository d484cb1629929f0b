//! Where on the node the dataplane lives, and opening it there with an answer for people if that fails.

use continuity_dataplane::capacity::Capacities;
use continuity_dataplane::{Category, Error, KernelDataplane, Options, probe};

use crate::arguments::Place;
use crate::driver::Refused;
use crate::snapshot::PlaneState;

/// Directory of every pin, under bpffs.
const PINS: &str = "continuity";

/// The dataplane's options for this node.
#[must_use]
pub fn options(place: &Place, node: &str) -> Options {
    // Nodes walk their tables from different places, so that a fleet that starts together does not move in step.
    let start = node.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    Options {
        cgroup: place.cgroup_root.clone(),
        pins: place.bpffs.join(PINS),
        capacities: Capacities::of_this_node(),
        cursor_start: start,
        pretend_missing: Vec::new(),
    }
}

/// Opens the dataplane, or says why not.
///
/// # Errors
/// With the state, the sentence and the capabilities to report.
pub fn open(options: &Options) -> Result<KernelDataplane, Refused> {
    let capabilities = probe(options);
    let lacking: Vec<String> = capabilities
        .blocking()
        .map(|capability| {
            format!(
                "{} is missing ({}); {}",
                capability.id, capability.needs, capability.fallback
            )
        })
        .collect();
    if !lacking.is_empty() {
        return Err(Refused {
            state: PlaneState::Detached,
            message: lacking.join("; "),
            capabilities,
        });
    }
    KernelDataplane::open_or_load(options).map_err(|error| {
        let state = refused_state(&error);
        Refused {
            state,
            message: error.to_string(),
            capabilities,
        }
    })
}

fn refused_state(error: &Error) -> PlaneState {
    match error.category() {
        Category::Version => PlaneState::Refused,
        Category::Node | Category::Caller | Category::Kernel => PlaneState::Detached,
    }
}
