//! The scenarios that come with the program.

use super::{Scenario, ScenarioError};

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        const SHIPPED: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../scenarios/", $name, ".yaml")))),*];
    };
}

shipped![
    "S0",
    "S0a",
    "S1",
    "S2",
    "S3",
    "S4",
    "S5",
    "S5b",
    "S6",
    "S6b",
    "S7",
    "S8",
    "S9",
    "S9p5",
    "S9r",
    "S10",
    "S11",
    "S12",
    "S13",
    "S13h",
    "S13s",
    "S14",
    "S14b",
    "S15",
    "S16",
    "S16b",
    "S17a",
    "S17b",
    "S17c",
    "S18",
    "S19",
    "S19b",
    "S20",
    "S21",
    "S22",
    "S22a",
    "S22h",
    "S23",
    "S24",
    "S0-cached",
    "S0-clock",
    "S0-closed",
    "S0-lag",
    "S1-clock",
    "S1-drowning",
    "S1-verdicts",
    "S3-verdicts",
    "S5-verdicts",
    "S7-cached",
    "S7-lag",
    "S7-lost",
    "S7-races",
    "S7-silent",
    "demo-healthy",
    "demo-gray",
    "demo-fast-fail",
    "demo-refused",
    "demo-hang",
    "demo-two-gray",
    "demo-alternate",
    "demo-rolling",
    "demo-rolling-gray",
    "demo-starved",
];

/// Names of the shipped scenarios.
#[must_use]
pub fn names() -> Vec<&'static str> {
    SHIPPED.iter().map(|(name, _)| *name).collect()
}

/// The shipped scenario of that name, or the one in the file at that path.
///
/// # Errors
/// Neither exists, or the file is wrong.
pub fn shipped(name: &str) -> Result<Scenario, ScenarioError> {
    if let Some((_, text)) = SHIPPED.iter().find(|(known, _)| *known == name) {
        return Scenario::parse(text);
    }
    if !std::path::Path::new(name).exists() {
        return Err(ScenarioError::Unknown(name.to_owned()));
    }
    let text = std::fs::read_to_string(name).map_err(|source| ScenarioError::Read {
        path: name.to_owned(),
        source,
    })?;
    Scenario::parse(&text)
}
