//! godwit against the real C++ libudt (tests only, never published)
