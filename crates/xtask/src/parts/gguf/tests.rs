use std::collections::BTreeMap;

use super::{Numbers, Shape, half, noise, write};

const SMALL: Shape = Shape {
    name: "small",
    layers: 1,
    width: 32,
    heads: 2,
    kv_heads: 1,
    feed_forward: 64,
    numbers: Numbers::F16,
};

/// Reads as the format's description says, and fails at the end of the bytes.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn bytes(&mut self, length: u64) -> Vec<u8> {
        let (taken, rest) = self.0.split_at(usize::try_from(length).unwrap());
        self.0 = rest;
        taken.to_vec()
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes(4).try_into().unwrap())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes(8).try_into().unwrap())
    }

    fn text(&mut self) -> String {
        let length = self.u64();
        String::from_utf8(self.bytes(length)).unwrap()
    }

    /// A value as text; of an array its length.
    fn value(&mut self, kind: u32) -> String {
        match kind {
            4 => self.u32().to_string(),
            5 => (self.u32() as i32).to_string(),
            6 => f32::from_bits(self.u32()).to_string(),
            7 => self.bytes(1)[0].to_string(),
            8 => self.text(),
            9 => {
                let (kind, length) = (self.u32(), self.u64());
                for _ in 0..length {
                    self.value(kind);
                }
                format!("{length} values")
            }
            other => panic!("no kind {other}"),
        }
    }
}

#[test]
fn what_is_written_reads_back() {
    let mut bytes = Vec::new();
    write(&SMALL, &mut bytes, |_| Ok(())).unwrap();
    let mut reader = Reader(&bytes);
    assert_eq!(reader.bytes(4), b"GGUF");
    assert_eq!(reader.u32(), 3);
    let (tensors, keys) = (reader.u64(), reader.u64());
    let mut values = BTreeMap::new();
    for _ in 0..keys {
        let (key, kind) = (reader.text(), reader.u32());
        values.insert(key, reader.value(kind));
    }
    for (key, value) in [
        ("general.architecture", "llama"),
        ("llama.embedding_length", "32"),
        ("llama.rope.dimension_count", "16"),
        ("tokenizer.ggml.tokens", "580 values"),
        ("tokenizer.ggml.scores", "580 values"),
        ("tokenizer.ggml.token_type", "580 values"),
        ("tokenizer.ggml.add_eos_token", "0"),
    ] {
        assert_eq!(values[key], value, "{key}");
    }
    let mut end = 0;
    let mut seen = Vec::new();
    for _ in 0..tensors {
        let name = reader.text();
        let dimensions = reader.u32();
        let numbers: u64 = (0..dimensions).map(|_| reader.u64()).product();
        let width = match reader.u32() {
            0 => 4,
            1 => 2,
            other => panic!("no type {other}"),
        };
        let offset = reader.u64();
        assert_eq!(offset % 32, 0, "{name}");
        assert!(offset >= end, "{name} begins in the one before it");
        end = offset + numbers * width;
        seen.push((name, width));
    }
    assert!(seen.contains(&("blk.0.attn_norm.weight".into(), 4)));
    assert!(seen.contains(&("blk.0.ffn_down.weight".into(), 2)));
    assert_eq!(seen.len(), 3 + 9);
    let head = bytes.len() - reader.0.len();
    let data = head.next_multiple_of(32) as u64;
    assert_eq!(bytes.len() as u64, data + end.next_multiple_of(32));
}

#[test]
fn half_precision_is_rounded_to_even() {
    // IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits.
    for (value, bits) in [
        (0.0, 0x0000),
        (-0.0, 0x8000),
        (1.0, 0x3c00),
        (-2.0, 0xc000),
        (65504.0, 0x7bff),
        (65536.0, 0x7c00),
        (6.103_515_6e-5, 0x0400),
        (5.960_464_5e-8, 0x0001),
        (1.0e-9, 0x0000),
        (1.0 + 1.0 / 2048.0, 0x3c00),
        (1.0 + 3.0 / 2048.0, 0x3c02),
        (1.0 + 1.5 / 1024.0, 0x3c02),
        (1.999_9, 0x4000),
    ] {
        assert_eq!(half(value), bits, "{value}");
    }
}

#[test]
fn noise_has_the_mean_0_and_the_deviation_1() {
    let noise = noise();
    let count = noise.len() as f32;
    let mean = noise.iter().sum::<f32>() / count;
    let square = noise.iter().map(|value| value * value).sum::<f32>() / count;
    assert!(mean.abs() < 0.01, "{mean}");
    assert!((square - 1.0).abs() < 0.02, "{square}");
    assert!(noise.iter().all(|value| value.abs() <= 6.0));
}
