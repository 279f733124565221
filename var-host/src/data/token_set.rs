//! Tokens to train on: the images of a tokens file, in batches.

use std::path::Path;

use super::random::{RngStream, below, words};
use super::sampler::SamplerIter;
use super::{BatchCursor, BatchSampler, BrokenImage, ClassNames, DataError, SamplerMode};
use crate::checkpoint::Digest;
use crate::images::CropSettings;
use crate::model::Identity;
use crate::tokens::{MappedTokens, TokenFault, TokenFileError};

/// The tokens and labels of a data set's images.
///
/// In an epoch each image comes once. Of its variants (other crops, mirrored or not) one is drawn
/// by the seed, the epoch and the image; in validation it is the first.
#[derive(Debug)]
pub struct TokenSet {
    file: MappedTokens,
    classes: usize,
    /// The file's classes as they are numbered elsewhere, and the names there.
    renumbered: Option<(Vec<u32>, Vec<String>)>,
}

/// One rank's share of a batch as tokens, whether from a file of them or made of images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenBatch {
    /// The class of each image.
    pub labels: Vec<u32>,
    /// L tokens of each image, one image's after the other.
    pub tokens: Vec<u32>,
    /// Images that were found broken on the way here; each is told of once. None in a file of tokens.
    pub broken: Vec<BrokenImage>,
}

impl TokenSet {
    /// Opens a file of tokens of a codebook of `codes`, which is mapped and gone through once.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged or contradicts itself, has no image or no labels, or
    /// has a token outside `0..codes` or a label that is no class.
    pub fn open(path: &Path, codes: usize) -> Result<Self, DataError> {
        let file = MappedTokens::open(path)?;
        if file.images() == 0 {
            let fault = TokenFault::Empty;
            return Err(TokenFileError { path: path.to_path_buf(), fault }.into());
        }
        let highest = file.labels().into_iter().flatten().copied().max().unwrap_or(0).max(0);
        let classes = file.classes().map_or(highest as usize + 1, <[String]>::len);
        file.verify()?;
        file.check_labels(classes)?;
        file.check(codes)?;
        Ok(Self { file, classes, renumbered: None })
    }

    /// The same images with classes numbered as elsewhere: those to validate on with the class names
    /// of those to train on. A file without names is as it was.
    ///
    /// # Errors
    /// If an image is of a class called as none, or as several, of `classes` are.
    pub fn with_classes(mut self, classes: &[String]) -> Result<Self, DataError> {
        let Some(own) = self.file.classes() else { return Ok(self) };
        let mut occurs = vec![false; own.len()];
        for label in self.file.labels().into_iter().flatten() {
            // Not negative: checked when the set was opened.
            occurs[*label as usize] = true;
        }
        let names = ClassNames::new(classes);
        let mut numbers = Vec::with_capacity(own.len());
        for (name, occurs) in own.iter().zip(occurs) {
            let number = if occurs { names.number(self.file.path(), name)? } else { Some(0) };
            let number = number.ok_or_else(|| names.unknown(self.file.path(), name))?;
            numbers.push(number as u32);
        }
        self.classes = classes.len();
        self.renumbered = Some((numbers, classes.to_vec()));
        Ok(self)
    }

    /// How the images were cut, where it is known.
    pub fn cut(&self) -> Option<CropSettings> {
        self.file.cut()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// How many images there are of each image.
    pub fn variants(&self) -> usize {
        self.file.variants()
    }

    /// The VQVAE that made them, where it is known.
    pub fn vqvae(&self) -> Option<Identity> {
        self.file.vqvae()
    }

    /// The digest of tokens and labels. Reads the whole file.
    pub fn digest(&self) -> Digest {
        self.file.digest()
    }

    /// The sides of the scales.
    pub fn ladder(&self) -> &[u32] {
        self.file.ladder()
    }

    /// How many images there are, at least one.
    pub fn pictures(&self) -> usize {
        self.file.images() / self.file.variants()
    }

    /// How many classes: as many as have names, or as the labels want.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The names of the classes, where the file has them.
    pub fn class_names(&self) -> Option<&[String]> {
        match &self.renumbered {
            Some((_, names)) => Some(names),
            None => self.file.classes(),
        }
    }

    /// The class of each image.
    pub fn labels(&self) -> Vec<u32> {
        let labels = self.file.labels().expect("a set has labels");
        // Not negative: checked when the set was opened.
        let own = labels.iter().step_by(self.file.variants()).map(|label| *label as u32);
        match &self.renumbered {
            Some((numbers, _)) => own.map(|label| numbers[label as usize]).collect(),
            None => own.collect(),
        }
    }

    /// How many tokens an image has, L.
    pub fn tokens_per_image(&self) -> usize {
        self.file.tokens_per_image()
    }

    /// The batches from `from` to the end of the epoch before `until`.
    ///
    /// # Panics
    /// If `sampler` is of another number of images.
    ///
    /// # Errors
    /// If an epoch has no such batch as `from`.
    #[track_caller]
    pub fn batches(
        &self,
        sampler: &BatchSampler,
        from: BatchCursor,
        until: u32,
    ) -> Result<TokenBatches<'_>, DataError> {
        assert_eq!(sampler.items() as usize, self.pictures(), "token set: a plan of another set");
        Ok(TokenBatches { set: self, sampler: sampler.clone(), walk: sampler.walk(from, until)? })
    }

    /// The image of `picture` in an epoch.
    fn image(&self, sampler: &BatchSampler, epoch: u32, picture: u32) -> usize {
        let config = sampler.config();
        let variants = self.file.variants();
        let variant = match config.pass {
            SamplerMode::Training => {
                let word = words(config.seed, RngStream::Variant, epoch, picture, 0)[0];
                below(word, u32::try_from(variants).unwrap_or(u32::MAX)) as usize
            }
            SamplerMode::Validation => 0,
        };
        picture as usize * variants + variant
    }
}

/// The batches of one rank, in order.
#[derive(Clone, Debug)]
pub struct TokenBatches<'a> {
    set: &'a TokenSet,
    sampler: BatchSampler,
    walk: SamplerIter,
}

impl Iterator for TokenBatches<'_> {
    type Item = TokenBatch;

    fn next(&mut self) -> Option<TokenBatch> {
        let (place, positions, order) = self.walk.begin_batch()?;
        let file = &self.set.file;
        let labels = file.labels().expect("a set has labels");
        let mut batch = TokenBatch::default();
        for position in positions {
            let image = self.set.image(&self.sampler, place.epoch, order.item(position));
            // Neither is negative: both were checked when the set was opened.
            batch.tokens.extend(file.row(image).map(|token| token as u32));
            let label = labels[image] as u32;
            let numbers = self.set.renumbered.as_ref().map(|(numbers, _)| numbers);
            batch.labels.push(numbers.map_or(label, |numbers| numbers[label as usize]));
        }
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::SamplerConfig;
    use crate::tokens::{TokenFile, TokenWriter};

    /// Images 0, 1, … of classes 0, 1, 2, 0, …; the tokens are the image, the variant, then
    /// three zeros.
    fn set(pictures: u32, variants: u32) -> (tempfile::TempDir, TokenSet) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
        let most = pictures as usize;
        let mut writer = TokenWriter::create(
            &path,
            false,
            vec![1, 2],
            variants as usize,
            classes,
            most,
            None,
            None,
        )
        .unwrap();
        for picture in 0..pictures {
            let row = |variant| vec![picture, variant, 0, 0, 0];
            writer.push(picture % 3, &(0..variants).map(row).collect::<Vec<_>>()).unwrap();
        }
        writer.finish().unwrap();
        (folder, TokenSet::open(&path, 4096).unwrap())
    }

    const START: BatchCursor = BatchCursor { epoch: 0, batch: 0 };

    fn config(pass: SamplerMode, batch: u32) -> SamplerConfig {
        SamplerConfig {
            pass,
            batch,
            rank: 0,
            ranks: 1,
            seed: 11,
            shuffle: pass == SamplerMode::Training,
        }
    }

    #[test]
    fn labels_go_with_their_tokens_and_every_variant_comes() {
        let (_folder, set) = set(24, 4);
        assert_eq!((set.pictures(), set.classes(), set.tokens_per_image()), (24, 3, 5));
        assert_eq!(set.class_names().unwrap(), ["a", "b", "c"]);
        let sampler = BatchSampler::new(24, config(SamplerMode::Training, 8)).unwrap();
        let mut counts = [0_i32; 4];
        for batch in set.batches(&sampler, START, 100).unwrap() {
            assert_eq!((batch.labels.len(), batch.tokens.len()), (8, 40));
            for (tokens, label) in batch.tokens.chunks_exact(5).zip(&batch.labels) {
                assert_eq!(tokens[0] % 3, *label);
                counts[tokens[1] as usize] += 1;
            }
        }
        // 600 each, ± 5 standard deviations.
        assert!(counts.iter().all(|count| (count - 600).abs() < 107), "{counts:?}");
    }

    #[test]
    fn validation_takes_the_first_variant_of_each() {
        let (_folder, set) = set(7, 3);
        let sampler = BatchSampler::new(7, config(SamplerMode::Validation, 4)).unwrap();
        let batches: Vec<_> = set.batches(&sampler, START, 1).unwrap().collect();
        let tokens: Vec<_> =
            batches.iter().flat_map(|batch| batch.tokens.chunks_exact(5)).collect();
        assert!(tokens.iter().map(|row| (row[0], row[1])).eq((0..7).map(|n| (n, 0))));
        assert_eq!(batches[1].labels.len(), 3);
    }

    /// V01: the classes of tokens are those of the same names, not of the same numbers.
    #[test]
    fn classes_go_by_their_names() {
        let (_folder, set) = set(6, 1);
        let names = ["z", "c", "b", "a"].map(str::to_owned);
        let set = set.with_classes(&names).unwrap();
        assert_eq!((set.classes(), set.class_names().unwrap()), (4, &names[..]));
        let sampler = BatchSampler::new(6, config(SamplerMode::Validation, 6)).unwrap();
        let batch = set.batches(&sampler, START, 1).unwrap().next().unwrap();
        assert_eq!(batch.labels, [3, 2, 1, 3, 2, 1]);

        let fault = |pictures, names: &[&str]| {
            let (folder, set) = self::set(pictures, 1);
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let set = set.with_classes(&names);
            set.map(|_| ())
                .map_err(|fault| fault.to_string().replace(folder.path().to_str().unwrap(), "DATA"))
        };
        let unknown = "DATA/tokens: no class is called \"c\", the 2 classes are others";
        assert_eq!(fault(3, &["b", "a"]), Err(unknown.to_owned()));
        // No image is of that class.
        assert_eq!(fault(2, &["b", "a"]), Ok(()));
        let several = "DATA/tokens: the classes 0, 1 are all called \"a\"";
        assert_eq!(fault(1, &["a", "a"]), Err(several.to_owned()));
    }

    #[test]
    fn files_that_do_not_fit_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let fault = |tokens: &[i32], labels: Option<&[i32]>| {
            let file = TokenFile::new(vec![1], tokens.to_vec(), labels.map(<[i32]>::to_vec));
            file.save(&path, true).unwrap();
            let fault = TokenSet::open(&path, 10).unwrap_err().to_string();
            fault.strip_prefix(&format!("{}: ", path.display())).unwrap().to_owned()
        };
        assert_eq!(fault(&[], Some(&[])), "holds no images");
        assert_eq!(fault(&[3], None), "no tensor is called `labels`");
        assert_eq!(fault(&[3, 10], Some(&[0, 1])), "tokens[1]: wants 0..10, file has 10");
        assert_eq!(fault(&[3, -1], Some(&[0, 1])), "tokens[1]: wants 0..10, file has -1");
        assert_eq!(fault(&[3, 1], Some(&[4, -1])), "labels[1]: wants 0..5, file has -1");
    }

    /// Audit 4: a flipped bit that leaves every token within the codebook.
    #[test]
    fn damaged_tokens_are_refused_when_a_set_is_opened() {
        let (folder, set) = set(3, 1);
        let path = folder.path().join("tokens");
        let mut bytes = std::fs::read(&path).unwrap();
        drop(set);
        let last_token = bytes.len() - 4 * 3 - 4;
        assert_eq!(bytes[last_token], 0);
        bytes[last_token] = 1;
        std::fs::write(&path, bytes).unwrap();
        let fault = TokenSet::open(&path, 4096).unwrap_err().to_string();
        assert!(fault.contains("its checksum is "), "{fault}");
    }

    proptest! {
        #[test]
        fn ranks_and_resuming_change_nothing(
            pictures in 4_u32..30, size in 1_u32..4, variants in 1_u32..4, at in 0_u32..30,
        ) {
            let (_folder, set) = set(pictures, variants);
            let of = |rank, ranks, from| {
                let config = SamplerConfig { rank, ranks, ..config(SamplerMode::Training, 2 * size) };
                let sampler = BatchSampler::new(set.pictures(), config).unwrap();
                set.batches(&sampler, from, 3).unwrap().collect::<Vec<_>>()
            };
            prop_assume!(pictures >= 2 * size);
            let whole = of(0, 1, START);
            let halves = of(0, 2, START).into_iter().zip(of(1, 2, START));
            let joined = halves.map(|(mut first, second)| {
                first.tokens.extend(second.tokens);
                first.labels.extend(second.labels);
                first
            });
            prop_assert!(joined.eq(whole.iter().cloned()));
            let at = at as usize % whole.len();
            let alone = BatchSampler::new(set.pictures(), config(SamplerMode::Training, 2 * size));
            let from = (0..at).fold(START, |place, _| alone.as_ref().unwrap().after(place));
            prop_assert_eq!(of(0, 1, from), &whole[at..]);
        }
    }
}
