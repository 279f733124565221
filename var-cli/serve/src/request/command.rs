//! The kinds of jobs.

/// The kinds of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Sample,
    Edit,
    Reconstruct,
    Encode,
    Decode,
    Score,
}

impl Command {
    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Sample, Self::Edit, Self::Reconstruct, Self::Encode, Self::Decode, Self::Score];

    /// Its name in paths and answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sample => "sample",
            Self::Edit => "edit",
            Self::Reconstruct => "reconstruct",
            Self::Encode => "encode",
            Self::Decode => "decode",
            Self::Score => "score",
        }
    }

    /// Whether its body has an image, which takes a while to decode.
    pub(crate) fn takes_image(self) -> bool {
        !matches!(self, Self::Sample | Self::Decode)
    }
}
