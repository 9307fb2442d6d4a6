//! Bytes as they come, cut into lines.
//!
//! ```
//! use descartes_state_recorder::lines::{Splitter, Stream};
//!
//! let mut splitter = Splitter::new(Stream::Stdout, 1024);
//! let lines = splitter.feed(b"one\ntwo\nthr", 1_763_856_000);
//! assert_eq!(lines.len(), 2);
//! assert_eq!(splitter.finish(1_763_856_000)[0].bytes, b"thr");
//! ```

mod cuts;
mod frames;
mod screen;
mod splitter;
#[cfg(test)]
mod tests;

pub(crate) use frames::last_frame;
pub use splitter::Splitter;

/// Which of the command's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
    /// The terminal that it was given, which has both.
    Terminal,
    /// The same, while a program draws on the whole of it.
    Screen,
}

impl Stream {
    /// Returns the stream's name: `stdout`, `stderr`, `terminal` or `screen`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Terminal => "terminal",
            Self::Screen => "screen",
        }
    }
}

/// A line without its newline, or a part of one that is too long.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it came from.
    pub stream: Stream,
    /// Counted from 1 in its stream.
    pub number: u64,
    /// Its bytes, of any kind.
    pub bytes: Vec<u8>,
    /// Which part of its line it is; `None` for a whole line.
    pub part: Option<Part>,
    /// False for a last line without a newline.
    pub is_terminated: bool,
    /// Whether it is what has come so far of a line that isn't over; the line comes whole, later.
    pub is_interim: bool,
    /// How often it was drawn before, of what is in the bytes no more.
    pub frames: u64,
    /// When it was read, in Unix seconds.
    pub read_at: i64,
}

impl Line {
    /// Returns whether a newline followed it in its stream.
    #[must_use]
    pub fn ends_with_newline(&self) -> bool {
        self.is_terminated && self.part.is_none_or(|part| part.is_last)
    }
}

/// The place of a part in its line, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Which part.
    pub number: u64,
    /// Whether the line ends with it.
    pub is_last: bool,
}
