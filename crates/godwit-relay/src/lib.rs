//! A lossy UDP path inside the process, for the demo and for tests
