//! Language models that we write ourselves: the architecture of llama, weights drawn at random. They
//! load in llama.cpp and answer readable nonsense of exactly the length that was asked for.
//!
//! The format is GGUF version 3 (ggml-org/ggml, docs/gguf.md); the keys and tensors are those that
//! llama.cpp reads for `general.architecture` = `llama`. The same shape gives the same bytes on
//! every machine: only whole numbers, sums, products and square roots are used, which IEEE 754
//! defines to the last bit.

use std::io::{self, Write};

/// Changes whenever the bytes of a model change.
pub(super) const GENERATOR: &str = "1";

/// How large a model is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// `general.name`, and the file is called so.
    pub(super) name: &'static str,
    pub(super) layers: u32,
    pub(super) width: u32,
    pub(super) heads: u32,
    pub(super) kv_heads: u32,
    pub(super) feed_forward: u32,
    pub(super) numbers: Numbers,
}

/// How weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    F32,
    F16,
}

/// The longest conversation, in tokens.
const CONTEXT: u32 = 4096;

/// The first tokens: unknown, begin, end, then one for each byte, then the mark before a word.
const SPECIAL: [(&str, i32); 3] = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)];
const WORD_MARK: &str = "\u{2581}";

/// Token types of llama.cpp.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const BYTE: i32 = 6;

/// How much louder a word's output is than unit noise, so that one word leads and the answer is not
/// a coin toss between all.
const LOUDNESS: f32 = 8.0;

/// Where tensor data may begin: `general.alignment` when no key says otherwise.
const ALIGNMENT: u64 = 32;

/// Random numbers are drawn once; each row of a tensor is a window of them at a random place. So a
/// model is written as fast as the disk takes it, also by an unoptimised build.
const POOL: usize = 1 << 18;

const SEED: u64 = 0x6c61_622d_6d6f_6465;

#[derive(Debug)]
struct Tensor {
    name: String,
    /// Rows; none for a vector.
    rows: Option<u64>,
    columns: u64,
    fill: Fill,
}

#[derive(Debug, Clone, Copy)]
enum Fill {
    /// A norm's weights, which are always f32.
    Ones,
    /// Noise of this standard deviation; the first rows are silent.
    Noise { deviation: f32, silent: u64 },
}

/// The tokens and their types.
fn vocabulary() -> Vec<(String, i32)> {
    let mut tokens: Vec<(String, i32)> = SPECIAL
        .iter()
        .map(|(text, kind)| ((*text).to_string(), *kind))
        .collect();
    // A byte's token is written so; any prompt can then be told in tokens.
    tokens.extend((0..=255_u8).map(|byte| (format!("<0x{byte:02X}>"), BYTE)));
    tokens.push((WORD_MARK.to_string(), NORMAL));
    for first in "bdfgklmnrs".chars() {
        for vowel in "aeio".chars() {
            for (index, second) in "dklmnrst".chars().enumerate() {
                let end = ['a', 'e', 'i', 'o', 'u'][index % 5];
                tokens.push((format!("{WORD_MARK}{first}{vowel}{second}{end}"), NORMAL));
            }
        }
    }
    tokens
}

/// Tokens before the first word: they are in the vocabulary and never said.
const SILENT_TOKENS: u64 = 3 + 256 + 1;

fn tensors(shape: &Shape, tokens: u64) -> Vec<Tensor> {
    let width = u64::from(shape.width);
    let feed_forward = u64::from(shape.feed_forward);
    let keys = width / u64::from(shape.heads) * u64::from(shape.kv_heads);
    let vector = |name: String| Tensor {
        name,
        rows: None,
        columns: width,
        fill: Fill::Ones,
    };
    // A sum over a row then has about the size of what went in.
    let matrix = |name: String, rows: u64, columns: u64| Tensor {
        name,
        rows: Some(rows),
        columns,
        fill: Fill::Noise {
            deviation: unit(columns),
            silent: 0,
        },
    };
    let mut all = vec![Tensor {
        fill: Fill::Noise {
            deviation: 1.0,
            silent: 0,
        },
        ..matrix("token_embd.weight".into(), tokens, width)
    }];
    for layer in 0..shape.layers {
        let named = |name: &str| format!("blk.{layer}.{name}.weight");
        all.extend([
            vector(named("attn_norm")),
            matrix(named("attn_q"), width, width),
            matrix(named("attn_k"), keys, width),
            matrix(named("attn_v"), keys, width),
            matrix(named("attn_output"), width, width),
            vector(named("ffn_norm")),
            matrix(named("ffn_gate"), feed_forward, width),
            matrix(named("ffn_up"), feed_forward, width),
            matrix(named("ffn_down"), width, feed_forward),
        ]);
    }
    all.push(vector("output_norm.weight".into()));
    all.push(Tensor {
        fill: Fill::Noise {
            deviation: LOUDNESS * unit(width),
            silent: SILENT_TOKENS,
        },
        ..matrix("output.weight".into(), tokens, width)
    });
    all
}

/// The deviation of each of `terms` weights whose sum has the deviation 1.
fn unit(terms: u64) -> f32 {
    let terms = u32::try_from(terms).unwrap_or(u32::MAX);
    (1.0 / f64::from(terms).sqrt()) as f32
}

/// Writes a model; `say` is told the share that is written, from 0 to 100, now and then, and may
/// end it.
pub(super) fn write(
    shape: &Shape,
    to: &mut impl Write,
    mut say: impl FnMut(u64) -> io::Result<()>,
) -> io::Result<()> {
    let tokens = vocabulary();
    let tensors = tensors(shape, tokens.len() as u64);
    let mut head = Head::default();
    head.bytes.extend(b"GGUF");
    head.u32(3);
    head.u64(tensors.len() as u64);
    let count = head.bytes.len();
    head.u64(0);
    let keys = metadata(shape, &tokens, &mut head);
    head.bytes[count..count + 8].copy_from_slice(&keys.to_le_bytes());
    let mut offset = 0;
    for tensor in &tensors {
        head.text(&tensor.name);
        // The first dimension is the one whose neighbours are neighbours in memory.
        head.u32(if tensor.rows.is_some() { 2 } else { 1 });
        head.u64(tensor.columns);
        if let Some(rows) = tensor.rows {
            head.u64(rows);
        }
        head.u32(match stored(shape, tensor) {
            Numbers::F32 => 0,
            Numbers::F16 => 1,
        });
        head.u64(offset);
        offset += padded(size(shape, tensor));
    }
    let end = head.bytes.len() as u64;
    head.bytes.resize(to_usize(padded(end)), 0);
    to.write_all(&head.bytes)?;

    let noise = noise();
    let mut pools = Vec::new();
    let mut written = 0;
    for (index, tensor) in tensors.iter().enumerate() {
        write_tensor(shape, tensor, index as u64, &noise, &mut pools, to)?;
        let length = size(shape, tensor);
        to.write_all(&vec![0; to_usize(padded(length) - length)])?;
        written += padded(length);
        say(written * 100 / offset)?;
    }
    Ok(())
}

/// The noise of one deviation, as it is stored.
type Pool = (u32, Numbers, Vec<u8>);

fn write_tensor(
    shape: &Shape,
    tensor: &Tensor,
    index: u64,
    noise: &[f32],
    pools: &mut Vec<Pool>,
    to: &mut impl Write,
) -> io::Result<()> {
    let columns = to_usize(tensor.columns);
    let Fill::Noise { deviation, silent } = tensor.fill else {
        return to.write_all(&1.0_f32.to_le_bytes().repeat(columns));
    };
    let numbers = stored(shape, tensor);
    let place = match pools
        .iter()
        .position(|(bits, kind, _)| *bits == deviation.to_bits() && *kind == numbers)
    {
        Some(place) => place,
        None => {
            let bytes = noise
                .iter()
                .flat_map(|value| encode(numbers, value * deviation))
                .collect();
            pools.push((deviation.to_bits(), numbers, bytes));
            pools.len() - 1
        }
    };
    let bytes = &pools[place].2;
    let width = bytes_each(numbers);
    let zeros = vec![0; columns * width];
    for row in 0..tensor.rows.unwrap_or(1) {
        if row < silent {
            to.write_all(&zeros)?;
            continue;
        }
        let room = (noise.len() - columns) as u64;
        let start = to_usize(scramble(SEED ^ (index << 32) ^ row) % room) * width;
        to.write_all(&bytes[start..start + columns * width])?;
    }
    Ok(())
}

/// Numbers with the mean 0 and the deviation 1, nearly normal: each is the sum of twelve equal
/// chances (Irwin and Hall), which needs no logarithm.
fn noise() -> Vec<f32> {
    (0..POOL as u64)
        .map(|index| {
            let sum: u32 = (0..3)
                .flat_map(|word| scramble(SEED + index * 3 + word).to_le_bytes())
                .collect::<Vec<u8>>()
                .chunks_exact(2)
                .map(|pair| u32::from(pair[0]) | u32::from(pair[1]) << 8)
                .sum();
            // Twelve times the mean of 0..=65535; whole numbers this small are exact in f32.
            (sum as f32 - 12.0 * 32767.5) / 65536.0
        })
        .collect()
}

/// A counter made random: the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
fn scramble(counter: u64) -> u64 {
    let mut bits = counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

fn stored(shape: &Shape, tensor: &Tensor) -> Numbers {
    match tensor.fill {
        Fill::Ones => Numbers::F32,
        Fill::Noise { .. } => shape.numbers,
    }
}

fn bytes_each(numbers: Numbers) -> usize {
    match numbers {
        Numbers::F32 => 4,
        Numbers::F16 => 2,
    }
}

fn size(shape: &Shape, tensor: &Tensor) -> u64 {
    tensor.rows.unwrap_or(1) * tensor.columns * bytes_each(stored(shape, tensor)) as u64
}

fn padded(length: u64) -> u64 {
    length.next_multiple_of(ALIGNMENT)
}

/// Sizes here are those of files that fit in memory maps.
fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn encode(numbers: Numbers, value: f32) -> Vec<u8> {
    match numbers {
        Numbers::F32 => value.to_le_bytes().to_vec(),
        Numbers::F16 => half(value).to_le_bytes().to_vec(),
    }
}

/// The bits of the nearest half-precision number (IEEE 754 binary16), ties to even. Values here are
/// far below its largest, 65504; what is larger becomes infinity.
fn half(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let exponent = ((bits >> 23) & 0xff) as i32 - 127;
    let fraction = bits & 0x007f_ffff;
    if exponent > 15 {
        return sign | 0x7c00;
    }
    // What is cut off: 13 bits, and more below the smallest normal number, 2^-14.
    let (whole, cut) = if exponent >= -14 {
        let whole = (((exponent + 15) as u32) << 23) | fraction;
        (whole, 13)
    } else if exponent >= -25 {
        (fraction | 0x0080_0000, (13 + (-14 - exponent)) as u32)
    } else {
        return sign;
    };
    let kept = whole >> cut;
    let rest = whole & ((1 << cut) - 1);
    let middle = 1 << (cut - 1);
    let up = rest > middle || (rest == middle && kept & 1 == 1);
    // Rounding up may carry into the exponent, which is then right as well.
    sign | (kept + u32::from(up)) as u16
}

/// What stands before the tensors.
#[derive(Debug, Default)]
struct Head {
    bytes: Vec<u8>,
    keys: u64,
}

/// GGUF's names for types of values.
#[derive(Debug, Clone, Copy)]
enum Kind {
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    Text = 8,
    Array = 9,
}

impl Head {
    fn u32(&mut self, value: u32) {
        self.bytes.extend(value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.bytes.extend(value.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.u64(text.len() as u64);
        self.bytes.extend(text.as_bytes());
    }

    fn key(&mut self, name: &str, kind: Kind) {
        self.keys += 1;
        self.text(name);
        self.u32(kind as u32);
    }

    fn number(&mut self, name: &str, value: u32) {
        self.key(name, Kind::U32);
        self.u32(value);
    }

    fn fraction(&mut self, name: &str, value: f32) {
        self.key(name, Kind::F32);
        self.bytes.extend(value.to_le_bytes());
    }

    fn flag(&mut self, name: &str, value: bool) {
        self.key(name, Kind::Bool);
        self.bytes.push(u8::from(value));
    }

    fn string(&mut self, name: &str, value: &str) {
        self.key(name, Kind::Text);
        self.text(value);
    }

    fn array(&mut self, name: &str, kind: Kind, length: usize) {
        self.key(name, Kind::Array);
        self.u32(kind as u32);
        self.u64(length as u64);
    }
}

/// Writes the keys; gives their number.
fn metadata(shape: &Shape, tokens: &[(String, i32)], head: &mut Head) -> u64 {
    head.string("general.architecture", "llama");
    head.string("general.name", shape.name);
    // LLAMA_FTYPE_ALL_F32 and LLAMA_FTYPE_MOSTLY_F16 of llama.cpp's llama.h.
    head.number(
        "general.file_type",
        match shape.numbers {
            Numbers::F32 => 0,
            Numbers::F16 => 1,
        },
    );
    head.number("llama.context_length", CONTEXT);
    head.number("llama.embedding_length", shape.width);
    head.number("llama.block_count", shape.layers);
    head.number("llama.feed_forward_length", shape.feed_forward);
    head.number("llama.attention.head_count", shape.heads);
    head.number("llama.attention.head_count_kv", shape.kv_heads);
    head.fraction("llama.attention.layer_norm_rms_epsilon", 1e-5);
    head.number("llama.rope.dimension_count", shape.width / shape.heads);
    head.fraction("llama.rope.freq_base", 10_000.0);
    head.number(
        "llama.vocab_size",
        u32::try_from(tokens.len()).unwrap_or(u32::MAX),
    );
    head.string("tokenizer.ggml.model", "llama");
    head.array("tokenizer.ggml.tokens", Kind::Text, tokens.len());
    for (text, _) in tokens {
        head.text(text);
    }
    head.array("tokenizer.ggml.scores", Kind::F32, tokens.len());
    for (index, (_, kind)) in tokens.iter().enumerate() {
        // llama.cpp joins pieces of a text by score. No two pieces make a token of ours, so texts
        // come in as bytes and the scores decide nothing.
        let score = if *kind == NORMAL {
            -(index as f32)
        } else {
            0.0
        };
        head.bytes.extend(score.to_le_bytes());
    }
    head.array("tokenizer.ggml.token_type", Kind::I32, tokens.len());
    for (_, kind) in tokens {
        head.bytes.extend(kind.to_le_bytes());
    }
    head.number("tokenizer.ggml.unknown_token_id", 0);
    head.number("tokenizer.ggml.bos_token_id", 1);
    head.number("tokenizer.ggml.eos_token_id", 2);
    head.flag("tokenizer.ggml.add_bos_token", true);
    head.flag("tokenizer.ggml.add_eos_token", false);
    head.string(
        "tokenizer.chat_template",
        "{% for message in messages %}[{{ message.role }}] {{ message.content }}\n{% endfor %}[assistant]",
    );
    head.keys
}

#[cfg(test)]
mod tests;
