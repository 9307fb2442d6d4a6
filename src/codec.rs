//! How state bodies are stored: as text, or as zstd above a threshold.

use std::io::Read;

use crate::error::{SerializationError, StateStoreError};

/// How a state body is stored, as its `…_codec` column says.
///
/// ```
/// assert_eq!(descartes_state::Codec::Zstd.as_str(), "zstd");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// 0: the text itself, readable in any SQLite shell.
    Text,
    /// 1: zstd, as a BLOB in the same column.
    Zstd,
}

impl Codec {
    /// Returns the codec's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Zstd => "zstd",
        }
    }

    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Text => 0,
            Self::Zstd => 1,
        }
    }

    pub(crate) fn from_number(number: i64) -> Result<Self, String> {
        match number {
            0 => Ok(Self::Text),
            1 => Ok(Self::Zstd),
            other => Err(format!("unknown codec {other}")),
        }
    }
}

/// Level 1 compresses states as well as 3 does, at less cost (docs/design.md, "Choices").
const LEVEL: i32 = 1;

/// Which bodies are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compression {
    pub(crate) enabled: bool,
    pub(crate) threshold: usize,
}

/// A body in its stored form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Encoded {
    Text(String),
    Zstd(Vec<u8>),
}

impl Encoded {
    /// Returns its bytes as they are stored.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Zstd(frame) => frame.len(),
        }
    }

    pub(crate) fn codec(&self) -> Codec {
        match self {
            Self::Text(_) => Codec::Text,
            Self::Zstd(_) => Codec::Zstd,
        }
    }

    /// Returns how many bytes its text has, as far as it says; what doesn't say may have any number.
    pub(crate) fn decoded_len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Zstd(frame) => decoded_len(frame),
        }
    }

    /// Returns the text; never more than `ceiling` bytes, whatever a damaged frame says of its size.
    pub(crate) fn decode(self, ceiling: usize) -> Result<String, Undecodable> {
        let bytes = match self {
            Self::Text(text) => return Ok(text),
            Self::Zstd(bytes) => bytes,
        };
        let mut text = Vec::new();
        zstd::stream::read::Decoder::new(bytes.as_slice())
            .and_then(|decoder| decoder.take(ceiling as u64 + 1).read_to_end(&mut text))
            .map_err(|error| Undecodable::Corrupt(format!("zstd: {error}")))?;
        if text.len() > ceiling {
            // What the frame says of its size; at least what was seen of it.
            let said = zstd::zstd_safe::get_frame_content_size(&bytes);
            let size = said.ok().flatten().unwrap_or(0).max(text.len() as u64);
            return Err(Undecodable::TooLarge(size));
        }
        String::from_utf8(text).map_err(|error| Undecodable::Corrupt(format!("not UTF-8: {error}")))
    }
}

/// Returns how many bytes a zstd frame says that it decodes to.
pub(crate) fn decoded_len(frame: &[u8]) -> usize {
    let said = zstd::zstd_safe::get_frame_content_size(frame);
    let said = said.ok().flatten().map(usize::try_from);
    said.and_then(Result::ok).unwrap_or(usize::MAX)
}

/// Why a body is not decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Undecodable {
    Corrupt(String),
    /// It would have so many bytes, more than its reader allows.
    TooLarge(u64),
}

impl Compression {
    /// Returns the text as it is stored; zstd only where it is smaller.
    pub(crate) fn encode(
        self,
        field: &'static str,
        text: &str,
    ) -> Result<Encoded, StateStoreError> {
        if self.enabled && text.len() > self.threshold {
            let bytes = compress(text.as_bytes()).map_err(|error| {
                StateStoreError::SerializationError(SerializationError::new(field, error))
            })?;
            if bytes.len() < text.len() {
                return Ok(Encoded::Zstd(bytes));
            }
        }
        Ok(Encoded::Text(text.to_owned()))
    }
}

/// Compresses into a frame with a checksum: SQLite has none, and a flipped bit would read as another state.
fn compress(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.include_checksum(true)?;
    compressor.compress(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Codec, Compression, Encoded};

    const ON: Compression = Compression {
        enabled: true,
        threshold: 16,
    };

    proptest! {
        #[test]
        fn every_text_reads_back(text in "\\PC{0,400}", repeat in 1usize..20) {
            let text = text.repeat(repeat);
            let encoded = ON.encode("state", &text).unwrap();
            prop_assert_eq!(encoded.decode(text.len()).unwrap(), text);
        }

        #[test]
        fn damaged_frames_are_errors_or_text_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Encoded::Zstd(bytes).decode(1_000);
        }
    }

    #[test]
    fn a_frame_that_grows_above_the_ceiling_is_refused() {
        let bomb = zstd::bulk::compress(&vec![b'x'; 10_000_000], 1).unwrap();
        assert!(bomb.len() < 10_000);
        assert!(Encoded::Zstd(bomb).decode(1_000_000).is_err());
    }

    #[test]
    fn a_flipped_bit_is_an_error_never_another_text() {
        let text = "the state of an agent ".repeat(40);
        let Encoded::Zstd(frame) = ON.encode("state", &text).unwrap() else {
            unreachable!("it shrinks");
        };
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(decoded) = Encoded::Zstd(flipped).decode(1_000_000) {
                assert_eq!(decoded, text, "bit {bit}");
            }
        }
    }

    #[test]
    fn only_what_shrinks_is_compressed() {
        assert_eq!(
            ON.encode("state", &"a".repeat(1000)).unwrap().codec(),
            Codec::Zstd
        );
        assert_eq!(ON.encode("state", "short").unwrap().codec(), Codec::Text);
        assert_eq!(
            ON.encode("state", "q8Zk1Lx0vT3mB7nY2").unwrap().codec(),
            Codec::Text
        );
    }

    #[test]
    fn an_unknown_codec_is_an_error() {
        assert!(Codec::from_number(2).is_err());
    }
}
