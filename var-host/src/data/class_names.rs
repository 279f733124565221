//! Numbers of classes by their names.

use std::collections::HashMap;
use std::path::Path;

use unicode_normalization::UnicodeNormalization;

use super::DataError;

/// A name this like another, as a share of its letters that differ, may be meant by it.
const NEAR: f64 = 0.4;

/// The names of classes, by number.
///
/// Names are compared letter by letter; an accented letter is the same composed or decomposed, as
/// different file systems store it.
#[derive(Clone, Debug)]
pub struct ClassNames<'a> {
    names: &'a [String],
    numbers: HashMap<String, Vec<usize>>,
}

impl<'a> ClassNames<'a> {
    /// Classes of these names.
    pub fn new(names: &'a [String]) -> Self {
        let mut numbers: HashMap<String, Vec<usize>> = HashMap::new();
        for (number, name) in names.iter().enumerate() {
            numbers.entry(composed(name)).or_default().push(number);
        }
        Self { names, numbers }
    }

    /// The class called `name` in the data at `path`, if one is.
    ///
    /// # Errors
    /// [`DataError::AmbiguousClass`] if several are.
    pub fn number(&self, path: &Path, name: &str) -> Result<Option<usize>, DataError> {
        match self.numbers.get(&composed(name)).map(Vec::as_slice) {
            None => Ok(None),
            Some([number]) => Ok(Some(*number)),
            Some(numbers) => Err(DataError::AmbiguousClass {
                path: path.to_path_buf(),
                class: name.to_owned(),
                numbers: numbers.to_vec(),
            }),
        }
    }

    /// That no class is called `name` in the data at `path`.
    pub fn unknown(&self, path: &Path, name: &str) -> DataError {
        let near = self.near(name).first().map(|number| self.names[*number].clone());
        let (path, class) = (path.to_path_buf(), name.to_owned());
        DataError::UnknownClass { path, class, classes: self.names.len(), near }
    }

    /// The classes that may be meant by `name`, the likeliest first.
    pub fn near(&self, name: &str) -> Vec<usize> {
        let wanted = composed(name).to_lowercase();
        let letters = wanted.chars().count();
        let distance =
            |known: &String| strsim::levenshtein(&wanted, &composed(known).to_lowercase());
        let all = self.names.iter().map(distance).enumerate();
        let is_near = |(_, distance): &(usize, usize)| *distance as f64 <= NEAR * letters as f64;
        let mut near: Vec<_> = all.filter(is_near).collect();
        near.sort_by_key(|(_, distance)| *distance);
        near.into_iter().map(|(number, _)| number).collect()
    }
}

/// Every accented letter as one character where there is one.
fn composed(name: &str) -> String {
    name.nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_near_a_wrong_one_are_offered() {
        let names = ["T-shirt", "Trouser", "trousers", "Ankle boot"].map(str::to_owned);
        let names = ClassNames::new(&names);
        assert_eq!(names.near("trowser"), [1, 2]);
        assert_eq!(names.near("ANKLE BOOT"), [3]);
        assert!(names.near("zebra").is_empty());
        assert!(names.near("").is_empty());
        let unknown = names.unknown(Path::new("val"), "zebra").to_string();
        assert_eq!(unknown, "val: no class is called \"zebra\", the 4 classes are others");
    }
}
