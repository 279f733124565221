//! `--class`: a comma-separated list of numbers, ranges, names, `all`, and −1 for no class.

use anyhow::{Result, anyhow, bail};
use var_host::engine::Engine;
use var_host::model::ClassLookup;
use var_host::model::classes::OFFERED;

use crate::args::{Model, Session};

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
        let own = &model.weights.class_names;
        let names = ClassLookup::of_model(count, own);
        if names.len() > own.len() {
            let line = "the model does not name its 1000 classes: they are called as ImageNet's";
            session.note(&[line.to_owned()]);
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
        let known = ClassLookup::new(self.count, if are_numbers { &[] } else { self.names });
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
                let label = known.label(&parts[at].text);
                listed.labels.push(label.map_err(|error| anyhow!("{option} {error}"))?);
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
        known: &ClassLookup<'_>,
    ) -> Result<Option<(u32, usize)>> {
        for length in (2..=parts.len().min(known.most_parts())).rev() {
            let parts = &parts[..length];
            if parts.iter().any(|part| part.is_name) || parts.iter().all(|p| self.is_number(p)) {
                continue;
            }
            let texts: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
            let found = known.whole(&texts.join(","));
            if let Some(label) = found.map_err(|error| anyhow!("{option} {error}"))? {
                return Ok(Some((label, length)));
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

    fn last(self) -> usize {
        self.count.saturating_sub(1)
    }
}

/// The ends of `3-7`, if it is such.
fn range(part: &str) -> Option<(&str, &str)> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    part.split_once('-').filter(|(first, last)| is_number(first) && is_number(last))
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
