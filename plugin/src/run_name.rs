//! A name for a run: what tells its requests from others in a log.

use std::hash::{BuildHasher, RandomState};

/// Six hexadecimal digits, others each time.
pub(crate) fn new() -> String {
    // The standard library seeds it from the system's randomness.
    let random = RandomState::new().hash_one(std::process::id());
    format!("{:06x}", random & 0xff_ffff)
}

#[cfg(test)]
mod tests {
    #[test]
    fn six_digits_and_another_each_time() {
        let name = super::new();
        assert_eq!(name.len(), 6);
        assert!(name.chars().all(|digit| digit.is_ascii_hexdigit()));
        assert_ne!(super::new(), super::new());
    }
}
