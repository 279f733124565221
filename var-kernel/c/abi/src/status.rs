//! Status codes, and the text of a failure.

use core::fmt::{self, Display, Write};

/// Outcome of a call: `var_status` of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// The callback ended the run.
    Stopped = 1,
    /// All scales are drawn: there is no further step.
    Done = 2,
    /// An argument is null, of another length, or out of range.
    Argument = -1,
    /// A file cannot be read.
    File = -2,
    /// A file or memory holds no such model, or the model cannot serve the request.
    Model = -3,
    /// Memory or threads cannot be had.
    Memory = -4,
    /// A fault of the library.
    Bug = -5,
}

/// A failed call: its code and text.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The code.
    pub status: Status,
    /// The text, with its causes.
    pub text: Text,
}

impl Failure {
    /// A failure with the text of `fault`.
    pub fn new(status: Status, fault: impl Display) -> Self {
        Self { status, text: Text::of(fault) }
    }

    /// A fault of the caller's.
    pub fn argument(fault: impl Display) -> Self {
        Self::new(Status::Argument, fault)
    }
}

/// The most bytes of a text, with its NUL.
pub const TEXT_LEN: usize = 1024;

/// A text that ends with a NUL, in memory of its own: longer ones are cut.
#[derive(Clone)]
pub struct Text {
    bytes: [u8; TEXT_LEN],
    length: usize,
}

impl Text {
    /// No text.
    pub const EMPTY: Self = Self { bytes: [0; TEXT_LEN], length: 0 };

    /// What `fault` displays, each NUL replaced.
    pub fn of(fault: impl Display) -> Self {
        let mut text = Self::EMPTY;
        // An error only tells that the text was cut.
        let _ = write!(text, "{fault}");
        text
    }

    /// The text without its NUL.
    pub fn as_str(&self) -> &str {
        let bytes = &self.bytes[..self.length];
        core::str::from_utf8(bytes).expect("parts of texts are whole characters")
    }

    /// The text with its NUL.
    pub fn with_nul(&self) -> &[u8] {
        &self.bytes[..=self.length]
    }
}

impl Write for Text {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for character in part.chars() {
            let character = if character == '\0' { '\u{fffd}' } else { character };
            let end = self.length + character.len_utf8();
            // The last byte is the NUL's.
            if end >= TEXT_LEN {
                return Err(fmt::Error);
            }
            character.encode_utf8(&mut self.bytes[self.length..end]);
            self.length = end;
        }
        Ok(())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_at_a_whole_character_and_has_no_nul_inside() {
        let long = Text::of(format_args!("{:é>2000}", "\0"));
        assert!(long.as_str().chars().all(|character| character == 'é'));
        assert_eq!(long.as_str().len(), (TEXT_LEN - 1) / 2 * 2);
        assert_eq!(long.with_nul().last(), Some(&0));
        assert_eq!(Text::of("a\0b").as_str(), "a\u{fffd}b");
    }
}
