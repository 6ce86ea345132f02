//! godwit against the real C++ libudt (tests only, never published)

#[cfg(target_os = "linux")]
pub mod netns;
