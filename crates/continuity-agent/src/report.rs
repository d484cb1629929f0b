//! What the node says about itself: the snapshot in the API's words, when it is worth a write, and the write.
//!
//! The API server is never on the path of a decision. A report that cannot be written is replaced by the next one.

pub mod compose;
pub mod trigger;
pub mod writer;
