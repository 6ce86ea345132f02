//! Names of what a run makes and only the next one can remove if it was killed: they carry the number of the process whose they are,
//! for nobody else can tell whether they are still needed.

use std::path::Path;

const PREFIX: &str = "godwit-lab-";

/// The beginning of the names that a process gives.
pub(crate) fn prefix(process: u32) -> String {
    format!("{PREFIX}{process}-")
}

/// The process whose name this is, if it is one of ours.
pub(crate) fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

pub(crate) fn is_alive(process: u32) -> bool {
    Path::new("/proc").join(process.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_whose_it_is_and_a_process_whether_it_lives() {
        assert_eq!(owner(&format!("{}left0", prefix(17))), Some(17));
        assert_eq!((owner("godwit-lab-notes"), owner("other-17")), (None, None));
        // The second is above the kernel's highest.
        assert!(is_alive(std::process::id()) && !is_alive(u32::MAX));
    }
}
