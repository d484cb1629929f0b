//! Which build this is.
//!
//! `CONTINUITY_VERSION`, set when the agent is compiled, names a build (a release pipeline gives it the tag); without it
//! the version of the package stands. One constant, so that `--version` and the report never disagree.

/// Version of this build.
pub const VERSION: &str = match option_env!("CONTINUITY_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};
