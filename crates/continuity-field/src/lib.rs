//! The law: pressure, regimes, slots; pure, deterministic, no clock, no I/O.
