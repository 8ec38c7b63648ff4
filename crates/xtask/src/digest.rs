//! SHA-256 of what goes into caches and images. ring's, because it is assembly: the workspace's
//! sha2 does 34 MB a second in an unoptimised build, and images are a hundred.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use ring::digest::{Context, SHA256};

use crate::{Error, Result};

/// A digest that is being made. What is written to it is hashed.
#[derive(Clone)]
pub struct Digest(Context);

impl std::fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Digest")
    }
}

impl Default for Digest {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Digest {
    /// Adds these bytes after their length, so that two fields never look like other two.
    pub fn field(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// Adds the content of a file, after its length.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn file(&mut self, path: &Path) -> Result<()> {
        let doing = || format!("reading {}", path.display());
        let mut file = File::open(path).map_err(Error::io(doing()))?;
        let length = file.metadata().map_err(Error::io(doing()))?.len();
        self.0.update(&length.to_le_bytes());
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer).map_err(Error::io(doing()))? {
                0 => return Ok(()),
                read => self.0.update(&buffer[..read]),
            }
        }
    }

    /// The digest in hexadecimal, 64 characters.
    #[must_use]
    pub fn finish(self) -> String {
        let mut text = String::with_capacity(64);
        for byte in self.0.finish().as_ref() {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

impl Write for Digest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The SHA-256 of these bytes, in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut digest = Digest::default();
    digest.0.update(bytes);
    digest.finish()
}

#[cfg(test)]
mod tests {
    use super::hex;

    #[test]
    fn the_digest_is_sha_256() {
        // FIPS 180-2, appendix B.1.
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(b"abc"), known);
    }
}
