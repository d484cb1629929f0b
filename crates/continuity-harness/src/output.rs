//! What a person and a machine read afterwards: Markdown with confidence intervals, JSON, SVG.

mod error;
mod interval;
mod json;
mod markdown;
mod plot;
pub mod verdict;

pub use error::OutputError;
pub use interval::Interval;
pub use json::json;
pub use markdown::markdown;
pub use plot::plots;
