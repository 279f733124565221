//! `--save-every`, `--val-every` and the like: 0 means never.

use core::fmt;

use serde::{Serialize, Serializer};

/// How often something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Every {
    /// Once in so many iterations or epochs; 0 = never.
    Count(u32),
    /// Once an epoch.
    Epoch,
    /// Once, at the end.
    End,
}

impl Every {
    /// In iterations, of which `of_epoch` make an epoch; 0 = never.
    pub(crate) fn iterations(self, of_epoch: u64) -> u64 {
        match self {
            Self::Count(count) => count.into(),
            Self::Epoch => of_epoch,
            Self::End => u64::MAX,
        }
    }

    /// In epochs; 0 = never.
    pub(crate) fn epochs(self) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Epoch => 1,
            Self::End => u32::MAX,
        }
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Epoch => f.write_str("epoch"),
            Self::End => f.write_str("end"),
        }
    }
}

impl Serialize for Every {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => count.serialize(serializer),
            word => serializer.collect_str(word),
        }
    }
}

/// A number, or the one word that the option has besides.
pub(crate) fn every(word: Every) -> impl Fn(&str) -> Result<Every, String> + Clone {
    move |text| match text.trim().parse() {
        Ok(count) => Ok(Every::Count(count)),
        Err(_) if text == word.to_string() => Ok(word),
        Err(_) => Err(format!("wants a whole number, 0 for never, or {word}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_takes_0_for_never_and_one_word() {
        let end = every(Every::End);
        assert_eq!(end("0").map(Every::epochs), Ok(0));
        assert_eq!(end("3").map(Every::epochs), Ok(3));
        assert_eq!(end("end"), Ok(Every::End));
        assert_eq!(every(Every::Epoch)("epoch").map(|every| every.iterations(7)), Ok(7));
        for text in ["epoch", "-1", "1.5", "", "never"] {
            let fault = Err("wants a whole number, 0 for never, or end".to_owned());
            assert_eq!(end(text), fault, "{text}");
        }
    }
}
