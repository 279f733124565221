//! `--class`: a comma-separated list of numbers, ranges, names, `all`, and −1 for no class.

use anyhow::{Result, bail};
use var_host::engine::Engine;

use crate::args::Model;

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

impl<'m> Classes<'m> {
    /// The classes of a model that has a transformer.
    ///
    /// # Errors
    /// If it has none.
    pub(crate) fn of(engine: &Engine<'_>, model: &'m Model) -> Result<Self> {
        let count = engine.transformer()?.classes;
        Ok(Self { count, names: &model.weights.class_names })
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

    /// What to call a label.
    pub(crate) fn name(self, label: u32) -> String {
        match self.names.get(label as usize) {
            _ if label == self.null() => "none".to_owned(),
            Some(name) => name.clone(),
            None => label.to_string(),
        }
    }

    /// The labels that `text`, the value of `option`, names, in its order.
    ///
    /// -1 and the number of classes are the null class. A name may be any part of a class's name
    /// that no other class has, in small or capital letters.
    pub(crate) fn parse(self, option: &str, text: &str) -> Result<Vec<u32>> {
        let mut labels = Vec::new();
        for part in text.split(',').map(str::trim) {
            if part == "all" {
                labels.extend(0..self.null());
            } else if part == "-1" {
                labels.push(self.null());
            } else if let Some((first, last)) = range(part) {
                let (first, last) = (self.known(option, first)?, self.known(option, last)?);
                if first > last {
                    bail!("{option} {part}: the range's start {first} is above its end {last}");
                }
                labels.extend(first..=last);
            } else if part.parse::<i128>().is_ok() {
                labels.push(self.known(option, part)?);
            } else {
                labels.push(self.named(option, part)?);
            }
        }
        Ok(labels)
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

    fn named(self, option: &str, part: &str) -> Result<u32> {
        if self.names.is_empty() {
            bail!(
                "{option} {part}: the model does not name its classes: give numbers 0 to {}",
                self.last()
            );
        }
        let wanted = part.to_lowercase();
        let all: Vec<String> = self.names.iter().map(|name| name.to_lowercase()).collect();
        if let Some(label) = all.iter().position(|name| *name == wanted) {
            return Ok(label as u32);
        }
        let holds = |label: &usize| !wanted.is_empty() && all[*label].contains(&wanted);
        let holding: Vec<usize> = (0..all.len()).filter(holds).collect();
        match holding[..] {
            [label] => Ok(label as u32),
            [] => {
                let mut near: Vec<usize> = (0..all.len()).collect();
                near.sort_by_key(|label| distance(&wanted, &all[*label]));
                bail!("{option} {part}: no class is called that; near it: {}", self.offer(&near))
            }
            _ => bail!("{option} {part}: several classes are: {}", self.offer(&holding)),
        }
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

/// Letters to put in, take out or change to make one word of the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<u32>, String> {
        let names = ["T-shirt", "Trouser", "Ankle boot", "Shirt dress"].map(str::to_owned);
        Classes { count: 4, names: &names }
            .parse("--class", text)
            .map_err(|fault| fault.to_string())
    }

    #[test]
    fn lists_of_every_kind() {
        assert_eq!(parsed("2"), Ok(vec![2]));
        assert_eq!(parsed("0-2, -1,4"), Ok(vec![0, 1, 2, 4, 4]));
        assert_eq!(parsed("all"), Ok(vec![0, 1, 2, 3]));
        assert_eq!(parsed("t-shirt,BOOT,trou"), Ok(vec![0, 2, 1]));
    }

    #[test]
    fn faults_say_what_there_is() {
        for number in ["7", "99999999999", "-2"] {
            let expected =
                format!("--class {number}: the model has classes 0 to 3, and -1 for none");
            assert_eq!(parsed(number), Err(expected.clone()));
            assert_eq!(parsed(&format!("0,{number}")), Err(expected));
        }
        let fault = |text| parsed(text).unwrap_err();
        assert_eq!(fault("0-9"), "--class 9: the model has classes 0 to 3, and -1 for none");
        assert_eq!(fault("2-1"), "--class 2-1: the range's start 2 is above its end 1");
        assert_eq!(
            fault("shirt"),
            "--class shirt: several classes are: T-shirt (0), Shirt dress (3)"
        );
        let near = "--class trowser: no class is called that; near it: Trouser (1)";
        assert!(fault("trowser").starts_with(near), "{}", fault("trowser"));
        assert!(fault("").starts_with("--class : no class is called that"));
        let unnamed =
            Classes { count: 4, names: &[] }.parse("--class", "cat").unwrap_err().to_string();
        assert_eq!(
            unnamed,
            "--class cat: the model does not name its classes: give numbers 0 to 3"
        );
    }

    #[test]
    fn distances_are_levenshteins() {
        for (a, b, expected) in [("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0)] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }
}
