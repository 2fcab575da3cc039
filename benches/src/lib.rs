//! Nothing but the benchmarks in `benches/`, which share this package.
