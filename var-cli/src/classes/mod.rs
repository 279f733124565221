//! `--class`: a comma-separated list of numbers, ranges, names, `all`, and −1 for no class.

use anyhow::{Result, bail};
use unicode_normalization::UnicodeNormalization;
use var_host::engine::Engine;

use crate::args::{Model, Session};
use crate::imagenet;

/// How many names are offered for one that is unknown.
const OFFERED: usize = 5;

/// A model's classes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Classes<'m> {
    /// How many; also the label of the null class.
    count: usize,
    /// Empty where the model does not say.
    names: &'m [String],
}

/// The labels of a list, and warnings about them.
#[derive(Debug, Default, PartialEq)]
struct Listed {
    labels: Vec<u32>,
    notes: Vec<String>,
}

/// A part of a list between commas.
#[derive(Debug, PartialEq)]
struct Part {
    text: String,
    /// In quotes or with a comma in it: a name, whatever it looks like.
    is_name: bool,
}

impl<'m> Classes<'m> {
    /// The classes of a model that has a transformer. Those of a model of 1000 without names are
    /// ImageNet's, as in all published ones.
    ///
    /// # Errors
    /// If it has none.
    pub(crate) fn of(engine: &Engine<'_>, model: &'m Model, session: &Session) -> Result<Self> {
        let count = engine.transformer()?.classes;
        let mut names: &[String] = &model.weights.class_names;
        if names.is_empty() && count == imagenet::CLASSES {
            let line = "the model does not name its 1000 classes: they are called as ImageNet's";
            session.note(&[line.to_owned()]);
            names = imagenet::names();
        }
        Ok(Self { count, names })
    }

    /// How many.
    pub(crate) fn count(self) -> usize {
        self.count
    }

    /// The label that stands for no class.
    pub(crate) fn null(self) -> u32 {
        self.count as u32
    }

    /// The label as files have it: -1 for none.
    pub(crate) fn number(self, label: u32) -> i32 {
        if label == self.null() { -1 } else { label as i32 }
    }

    /// The name of a label.
    pub(crate) fn name(self, label: u32) -> String {
        match self.names.get(label as usize) {
            _ if label == self.null() => "none".to_owned(),
            Some(name) => name.clone(),
            None => label.to_string(),
        }
    }

    /// A label in the name of a file: the number, with the name where that is another number.
    pub(crate) fn file_name(self, label: u32) -> String {
        match self.misleading(label) {
            _ if label == self.null() => "none".to_owned(),
            Some(name) => format!("class{label}-{name}"),
            None => format!("class{label}"),
        }
    }

    /// The name of a class, if it is a number other than its own.
    fn misleading(self, label: u32) -> Option<&'m str> {
        let name = self.names.get(label as usize)?;
        let number = name.parse::<u64>().ok()?;
        (number != u64::from(label)).then_some(name)
    }

    /// The labels that `text`, the value of `option`, names, in its order.
    ///
    /// -1 and the number of classes are the null class; numbers are labels even where classes are
    /// called by numbers, which is said then. A name is a class's whole name, commas and all, or a
    /// part of it between commas, or any part of it that no other class has; in small or capital
    /// letters, with spaces or underscores. Text in quotes is a name.
    pub(crate) fn parse(self, option: &str, text: &str, session: &Session) -> Result<Vec<u32>> {
        let Listed { labels, notes } = self.list(option, text)?;
        if !notes.is_empty() {
            session.warn(&format!("{option} {text}: {}", notes.join(", ")));
        }
        Ok(labels)
    }

    fn list(self, option: &str, text: &str) -> Result<Listed> {
        let parts = split(text);
        // Only names are looked up.
        let are_numbers = parts.iter().all(|part| self.is_number(part));
        let known = if are_numbers { Vec::new() } else { self.known_names() };
        let mut listed = Listed::default();
        let mut at = 0;
        while at < parts.len() {
            if let Some((label, length)) = self.with_commas(option, &parts[at..], &known)? {
                listed.labels.push(label);
                at += length;
            } else if self.is_number(&parts[at]) {
                self.numbers(option, &parts[at].text, &mut listed)?;
                at += 1;
            } else {
                listed.labels.push(self.named(option, &parts[at].text, &known)?);
                at += 1;
            }
        }
        Ok(listed)
    }

    /// The class with a name of as many parts as possible, at least two, and their number.
    fn with_commas(
        self,
        option: &str,
        parts: &[Part],
        known: &[Vec<String>],
    ) -> Result<Option<(u32, usize)>> {
        let most = known.iter().flatten().map(|name| name.split(',').count()).max();
        for length in (2..=parts.len().min(most.unwrap_or(1))).rev() {
            let parts = &parts[..length];
            if parts.iter().any(|part| part.is_name) || parts.iter().all(|p| self.is_number(p)) {
                continue;
            }
            let texts: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
            let joined = texts.join(",");
            let found = self.called(&joined, known);
            if !found.is_empty() {
                return Ok(Some((self.only(option, &joined, &found)?, length)));
            }
        }
        Ok(None)
    }

    /// Whether a part stands for labels by their numbers.
    fn is_number(self, part: &Part) -> bool {
        let text = part.text.as_str();
        let is_number = text == "all" || text.parse::<i128>().is_ok() || range(text).is_some();
        is_number && !part.is_name
    }

    /// Adds the labels that stand as numbers, ranges or `all`.
    fn numbers(self, option: &str, text: &str, listed: &mut Listed) -> Result<()> {
        let (first, last) = match range(text) {
            _ if text == "all" => (0, self.null()),
            _ if text == "-1" => (self.null(), self.null() + 1),
            Some((first, last)) => {
                let (first, last) = (self.known(option, first)?, self.known(option, last)?);
                if first > last {
                    bail!("{option} {text}: the range's start {first} is above its end {last}");
                }
                (first, last + 1)
            }
            None => {
                let label = self.known(option, text)?;
                (label, label + 1)
            }
        };
        listed.labels.extend(first..last);
        if text != "all" {
            let misled = (first..last).filter_map(|label| Some((label, self.misleading(label)?)));
            let called = misled.map(|(label, name)| format!("class {label} is called {name}"));
            listed.notes.extend(called.take(OFFERED));
        }
        let other = self.names.iter().position(|name| name == text);
        if let Some(other) = other.filter(|other| !(first..last).eq([*other as u32])) {
            listed
                .notes
                .push(format!("the class called {text} is {other}, or \"{text}\" in quotes"));
        }
        Ok(())
    }

    fn known(self, option: &str, number: &str) -> Result<u32> {
        match number.parse::<u32>() {
            Ok(label) if label <= self.null() => Ok(label),
            _ => bail!(
                "{option} {number}: the model has classes 0 to {}, and -1 for none",
                self.last()
            ),
        }
    }

    fn named(self, option: &str, part: &str, known: &[Vec<String>]) -> Result<u32> {
        if self.names.is_empty() {
            bail!(
                "{option} {part}: the model does not name its classes: give numbers 0 to {}",
                self.last()
            );
        }
        let wanted = plain(part);
        let called = self.called(part, known);
        if !called.is_empty() {
            return self.only(option, part, &called);
        }
        let with = |is: &dyn Fn(&str) -> bool| -> Vec<usize> {
            (0..known.len()).filter(|label| known[*label].iter().any(|name| is(name))).collect()
        };
        let mut found = with(&|name| name.split(',').any(|part| part == wanted));
        if found.is_empty() && !wanted.is_empty() {
            found = with(&|name| name.contains(&wanted));
        }
        if !found.is_empty() {
            return self.only(option, part, &found);
        }
        let distance = |name: &String| {
            let parts = name.split(',').chain([name.as_str()]);
            parts.map(|part| strsim::levenshtein(&wanted, part)).min().unwrap_or(usize::MAX)
        };
        let mut near: Vec<usize> = (0..known.len()).collect();
        near.sort_by_cached_key(|label| known[*label].iter().map(distance).min());
        bail!("{option} {part}: no class is called that; near it: {}", self.offer(&near))
    }

    /// The one class of `found`.
    fn only(self, option: &str, part: &str, found: &[usize]) -> Result<u32> {
        match found {
            [label] => Ok(*label as u32),
            _ => bail!("{option} {part}: several classes are: {}", self.offer(found)),
        }
    }

    /// The classes with the whole name `name`: letter for letter if there are such.
    fn called(self, name: &str, known: &[Vec<String>]) -> Vec<usize> {
        let all = 0..self.names.len();
        let exactly: Vec<usize> = all.clone().filter(|label| self.names[*label] == name).collect();
        if !exactly.is_empty() {
            return exactly;
        }
        let wanted = plain(name);
        all.filter(|label| known[*label].contains(&wanted)).collect()
    }

    /// The names of each class as they are compared: its own; of an id of ImageNet also the name, and
    /// the other way around.
    fn known_names(self) -> Vec<Vec<String>> {
        let are_imagenets = core::ptr::eq(self.names, imagenet::names());
        let of = |(label, own): (usize, &String)| {
            let other = match are_imagenets {
                true => Some(imagenet::ids()[label].as_str()),
                false => imagenet::name_of(own),
            };
            [Some(own.as_str()), other].into_iter().flatten().map(plain).collect()
        };
        self.names.iter().enumerate().map(of).collect()
    }

    /// The first few of `labels` with their names.
    fn offer(self, labels: &[usize]) -> String {
        let offered = labels.iter().take(OFFERED);
        let mut text: Vec<String> =
            offered.map(|label| format!("{} ({label})", self.names[*label])).collect();
        if labels.len() > OFFERED {
            text.push("…".to_owned());
        }
        text.join(", ")
    }

    fn last(self) -> usize {
        self.count.saturating_sub(1)
    }
}

/// The ends of `3-7`, if it is such.
fn range(part: &str) -> Option<(&str, &str)> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    part.split_once('-').filter(|(first, last)| is_number(first) && is_number(last))
}

/// A name without differences of spelling: case, underscores, spaces beside commas, composed
/// accents.
fn plain(name: &str) -> String {
    let parts = name.split(',').map(|part| {
        let words = part.split(|c: char| c.is_whitespace() || c == '_');
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    });
    parts.collect::<Vec<_>>().join(",").nfc().collect::<String>().to_lowercase()
}

/// The parts between commas; a comma within quotes or after a backslash is one of a name.
fn split(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let start = rest.trim_start();
        if let Some((name, after)) =
            start.strip_prefix('"').and_then(|quoted| quoted.split_once('"'))
            && (after.trim_start().is_empty() || after.trim_start().starts_with(','))
        {
            parts.push(Part { text: name.to_owned(), is_name: true });
            match after.trim_start().strip_prefix(',') {
                Some(after) => rest = after,
                None => return parts,
            }
            continue;
        }
        let mut previous = ' ';
        let end = rest.find(|c: char| {
            let is_end = c == ',' && previous != '\\';
            previous = c;
            is_end
        });
        let part = rest[..end.unwrap_or(rest.len())].trim();
        let escaped = part.contains("\\,");
        parts.push(Part { text: part.replace("\\,", ","), is_name: escaped });
        match end {
            Some(end) => rest = &rest[end + 1..],
            None => return parts,
        }
    }
}

#[cfg(test)]
mod tests;
