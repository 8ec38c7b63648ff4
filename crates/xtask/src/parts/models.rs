//! The models of the lab, written by [`super::gguf`].

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::gguf::{self, Numbers, Shape};
use super::progress::{Board, Row};
use crate::{Error, Result, contain};

/// 0.6 MB. Loads in 20 ms, thousands of tokens a second: for everything functional.
const TINY: Shape = Shape {
    name: "tiny",
    layers: 2,
    width: 64,
    heads: 4,
    kv_heads: 2,
    feed_forward: 128,
    numbers: Numbers::F32,
};

/// 10 MB. Some hundred tokens a second on a part of a core: for many streams at a time.
const SMALL: Shape = Shape {
    name: "small",
    layers: 4,
    width: 256,
    heads: 4,
    kv_heads: 2,
    feed_forward: 1024,
    numbers: Numbers::F16,
};

/// 254 MB. Some 60 tokens a second on one core: for streams that last.
const MID: Shape = Shape {
    name: "mid",
    layers: 8,
    width: 1024,
    heads: 8,
    kv_heads: 4,
    feed_forward: 4096,
    numbers: Numbers::F16,
};

/// 1.95 GB. Takes about 10 seconds to load: for a loading phase that is real.
const BIG: Shape = Shape {
    name: "big",
    layers: 16,
    width: 2048,
    heads: 16,
    kv_heads: 4,
    feed_forward: 8192,
    numbers: Numbers::F16,
};

/// What the models are made from, for the name of their directory.
pub(super) fn recipe() -> String {
    format!("{TINY:?} {SMALL:?} {MID:?} {BIG:?}")
}

/// Writes those that every lab with a server has; gives a line about them.
pub(super) fn get(to: &Path, row: &mut Row) -> Result<String> {
    for shape in [TINY, SMALL, MID] {
        write(&shape, &to.join(file_name(&shape)), row)?;
    }
    Ok("tiny, small and mid are written".into())
}

/// The big one beside the others, written when it is not there.
pub(super) fn big(models: &Path) -> Result<PathBuf> {
    let path = models.join(file_name(&BIG));
    let lock_path = models.join(".lock-big");
    let lock =
        File::create(&lock_path).map_err(Error::io(format!("making {}", lock_path.display())))?;
    lock.lock()
        .map_err(Error::io(format!("locking {}", lock_path.display())))?;
    if !path.is_file() {
        let board = Board::new();
        let mut row = board.row("models");
        write(&BIG, &path, &mut row)?;
        row.done("big is written");
    }
    Ok(path)
}

fn file_name(shape: &Shape) -> String {
    format!("{}.gguf", shape.name)
}

/// Writes beside, then renames: a file of this name is whole.
fn write(shape: &Shape, to: &Path, row: &mut Row) -> Result<()> {
    let building = to.with_file_name(format!(".building-{}", file_name(shape)));
    let doing = format!("writing {}", building.display());
    let file = File::create(&building).map_err(Error::io(doing.clone()))?;
    let mut buffer = BufWriter::with_capacity(1 << 20, file);
    gguf::write(shape, &mut buffer, |percent| {
        row.tick(&format!("writing {}, {percent} %", file_name(shape)));
        match contain::signals::received() {
            None => Ok(()),
            Some(_) => Err(io::ErrorKind::Interrupted.into()),
        }
    })
    .and_then(|()| buffer.flush())
    .map_err(|error| match contain::signals::received() {
        None => Error::io(doing)(error),
        Some(signal) => Error::Interrupted(signal),
    })?;
    fs::rename(&building, to).map_err(Error::io(format!("moving {} into place", to.display())))
}

#[cfg(test)]
mod tests {
    use super::{MID, TINY};
    use crate::parts::gguf;

    #[test]
    fn the_same_shape_gives_the_same_bytes() {
        let mut bytes = Vec::new();
        gguf::write(&TINY, &mut bytes, |_| Ok(())).unwrap();
        let digest = crate::digest::hex(&bytes);
        assert_eq!(
            (bytes.len(), digest.as_str()),
            (
                608_544,
                "4c727f2a385bae00b383f2f50aeb99f4a46c97ca343f26c5d265c5c0ded95778"
            ),
            "other bytes: raise gguf::GENERATOR, so that caches are filled anew"
        );
    }

    #[test]
    fn a_large_model_is_as_large_as_it_says() {
        struct Count(u64);
        impl std::io::Write for Count {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0 += bytes.len() as u64;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut count = Count(0);
        let mut last = 0;
        gguf::write(&MID, &mut count, |percent| {
            last = percent;
            Ok(())
        })
        .unwrap();
        assert_eq!(last, 100);
        assert!((253_000_000..255_000_000).contains(&count.0), "{}", count.0);
    }
}
