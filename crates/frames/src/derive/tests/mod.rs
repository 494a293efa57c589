//! Tests of derivations.
