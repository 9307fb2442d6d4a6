//! Its benchmark is in `benches/`.
