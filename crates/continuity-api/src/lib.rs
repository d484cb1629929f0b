//! CRD types, validation, and the condition and reason vocabulary of Continuity.
