//! Names of classes → labels.

pub mod imagenet;

use unicode_normalization::UnicodeNormalization;

/// How many names are offered for one that is unknown.
pub const OFFERED: usize = 5;

/// The classes of a model by their names.
///
/// ```
/// use var_host::model::ClassLookup;
///
/// let names = ["T-shirt", "Ankle boot"].map(str::to_owned);
/// assert_eq!(ClassLookup::new(2, &names).label("ankle_boot"), Ok(1));
/// let names = ["heart, ❤", "cat face, 🐱"].map(str::to_owned);
/// assert_eq!(ClassLookup::new(2, &names).label("❤\u{fe0f}"), Ok(0));
/// assert_eq!(ClassLookup::new(2, &names).label("🐱"), Ok(1));
/// ```
#[derive(Clone, Debug)]
pub struct ClassLookup<'m> {
    count: usize,
    names: &'m [String],
    /// The names of each class as they are compared.
    plain: Vec<Vec<String>>,
}

/// A name that is not that of one class.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClassNameError {
    /// The model does not name its classes.
    #[error("{name}: the model does not name its classes: give numbers 0 to {last}")]
    Unnamed {
        /// The name.
        name: String,
        /// The greatest label of a class.
        last: usize,
    },
    /// No class of that name.
    #[error("{name}: no class is called that; near it: {near}")]
    Unknown {
        /// The name.
        name: String,
        /// Names like it.
        near: String,
    },
    /// Several classes of that name.
    #[error("{name}: several classes are: {classes}")]
    Several {
        /// The name.
        name: String,
        /// The first few of them.
        classes: String,
    },
}

impl<'m> ClassLookup<'m> {
    /// Of a model of `count` classes with these names, by label; without names, none.
    pub fn new(count: usize, names: &'m [String]) -> Self {
        let are_imagenets = core::ptr::eq(names, imagenet::names());
        // An id of ImageNet stands for its name, and the other way around.
        let of = |(label, own): (usize, &String)| {
            let other = match are_imagenets {
                true => Some(imagenet::ids()[label].as_str()),
                false => imagenet::name_of(own),
            };
            [Some(own.as_str()), other].into_iter().flatten().map(plain).collect()
        };
        let plain = names.iter().enumerate().map(of).collect();
        Self { count, names, plain }
    }

    /// Names of a model of `count` classes with `names` in its file: those of a model of 1000 without names
    /// are ImageNet's, as in all published ones.
    pub fn of_model(count: usize, names: &'m [String]) -> &'m [String] {
        if names.is_empty() && count == imagenet::CLASSES { imagenet::names() } else { names }
    }

    /// The most parts between commas that a name has.
    pub fn most_parts(&self) -> usize {
        self.plain.iter().flatten().map(|name| name.split(',').count()).max().unwrap_or(1)
    }

    /// The label of the class with the whole name `name`: letter for letter if there is such; none if no
    /// class has it.
    ///
    /// # Errors
    /// If several have.
    pub fn whole(&self, name: &str) -> Result<Option<u32>, ClassNameError> {
        let called = self.called(name);
        if called.is_empty() { Ok(None) } else { self.only(name, &called).map(Some) }
    }

    /// The label of the class with the name `name`: its whole name, a part of it between commas, or any part
    /// of it that no other class has; in small or capital letters, with spaces or underscores.
    ///
    /// # Errors
    /// If none or several have.
    pub fn label(&self, name: &str) -> Result<u32, ClassNameError> {
        if self.names.is_empty() {
            let last = self.count.saturating_sub(1);
            return Err(ClassNameError::Unnamed { name: name.to_owned(), last });
        }
        if let Some(label) = self.whole(name)? {
            return Ok(label);
        }
        let wanted = plain(name);
        let with = |is: &dyn Fn(&str) -> bool| -> Vec<usize> {
            let any = |label: &usize| self.plain[*label].iter().any(|name| is(name));
            (0..self.plain.len()).filter(any).collect()
        };
        let mut found = with(&|name| name.split(',').any(|part| part == wanted));
        if found.is_empty() && !wanted.is_empty() {
            found = with(&|name| name.contains(&wanted));
        }
        if !found.is_empty() {
            return self.only(name, &found);
        }
        let distance = |name: &String| {
            let parts = name.split(',').chain([name.as_str()]);
            parts.map(|part| strsim::levenshtein(&wanted, part)).min().unwrap_or(usize::MAX)
        };
        let mut near: Vec<usize> = (0..self.plain.len()).collect();
        near.sort_by_cached_key(|label| self.plain[*label].iter().map(distance).min());
        Err(ClassNameError::Unknown { name: name.to_owned(), near: self.offer(&near) })
    }

    /// The one class of `found`.
    fn only(&self, name: &str, found: &[usize]) -> Result<u32, ClassNameError> {
        match found {
            [label] => Ok(*label as u32),
            _ => {
                let classes = self.offer(found);
                Err(ClassNameError::Several { name: name.to_owned(), classes })
            }
        }
    }

    /// The classes with the whole name `name`.
    fn called(&self, name: &str) -> Vec<usize> {
        let all = 0..self.names.len();
        let exactly: Vec<usize> = all.clone().filter(|label| self.names[*label] == name).collect();
        if !exactly.is_empty() {
            return exactly;
        }
        let wanted = plain(name);
        all.filter(|label| self.plain[*label].contains(&wanted)).collect()
    }

    /// The first few of `labels` with their names.
    fn offer(&self, labels: &[usize]) -> String {
        let offered = labels.iter().take(OFFERED);
        let mut text: Vec<String> =
            offered.map(|label| format!("{} ({label})", self.names[*label])).collect();
        if labels.len() > OFFERED {
            text.push("…".to_owned());
        }
        text.join(", ")
    }
}

/// A name without differences of spelling: case, underscores, spaces beside commas, composed
/// accents, the sign that asks for an emoji in color (U+FE0F).
fn plain(name: &str) -> String {
    let parts = name.split(',').map(|part| {
        let words = part.split(|c: char| c.is_whitespace() || c == '_');
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    });
    let parts = parts.collect::<Vec<_>>().join(",");
    parts.nfc().filter(|c| *c != '\u{fe0f}').collect::<String>().to_lowercase()
}
