//! Which numbers of the runs are drawn, and how.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::run::Run;
use crate::chart::{Curve, Entry, Figure, Panel, Style};

/// Keys drawn by default, in this order, as far as they are there.
const USUAL: [&str; 9] =
    ["L_mean", "L_tail", "acc_mean", "acc_tail", "loss", "rec", "psnr", "usage", "lr"];
/// Keys not drawn by default.
const BOOKKEEPING: [&str; 2] = ["iter", "epoch"];
/// Keys that are set and not measured, and so never averaged.
const SET: [&str; 3] = ["lr", "wd", "loss_scale"];
/// Prefix of keys of validation.
const VALIDATION: &str = "val_";
/// The most panels of a chart.
const MOST_PANELS: usize = 40;

/// How curves are drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Share of the average before in the running average; 0 for none.
    pub(super) smooth: f64,
    /// Of x and y.
    pub(super) logarithmic: [bool; 2],
    pub(super) columns: usize,
}

/// The chart of `keys`, or of the usual ones if there are none.
pub(super) fn figure(runs: &[Run], keys: &[String], look: Look) -> Result<Figure> {
    let known: BTreeSet<&str> =
        runs.iter().flat_map(|run| run.numbers.keys().map(String::as_str)).collect();
    let mut panels = Vec::new();
    for key in chosen(&known, keys)? {
        let members = members(&known, &key);
        if members.len() > 1 && runs.len() == 1 {
            panels.push(group(&runs[0], &key, &members, look));
        } else {
            panels.extend(members.iter().map(|member| panel(runs, member, look)));
        }
    }
    if panels.len() > MOST_PANELS {
        bail!("{} panels, at most {MOST_PANELS} fit in a chart: choose by --keys", panels.len());
    }
    let mut legend: Vec<Entry> = (runs.iter().enumerate())
        .map(|(number, run)| entry(&run.label, Some(number), Style::Line))
        .collect();
    let validated = |panel: &Panel| panel.curves.iter().any(|curve| curve.style == Style::Circles);
    if panels.iter().any(validated) {
        legend.push(entry("validation", None, Style::Circles));
    }
    Ok(Figure { legend, panels, columns: look.columns })
}

/// The keys asked for, all of which some run must have; else the usual ones, else all.
fn chosen(known: &BTreeSet<&str>, keys: &[String]) -> Result<Vec<String>> {
    for key in keys {
        if members(known, key).is_empty() {
            let known: Vec<&str> = known.iter().copied().collect();
            bail!("--keys {key}: no run has it; there are {}", known.join(", "));
        }
    }
    if !keys.is_empty() {
        return Ok(keys.to_vec());
    }
    let usual = USUAL.into_iter().filter(|key| !members(known, key).is_empty());
    let usual: Vec<String> = usual.map(str::to_owned).collect();
    if !usual.is_empty() {
        return Ok(usual);
    }
    let stems = known.iter().map(|key| key.split_once('.').map_or(*key, |(stem, _)| stem));
    let stems = stems.map(|stem| stem.strip_prefix(VALIDATION).unwrap_or(stem));
    let stems: BTreeSet<&str> = stems.filter(|stem| !BOOKKEEPING.contains(stem)).collect();
    if stems.is_empty() {
        bail!("the runs have logged no numbers but {}", BOOKKEEPING.join(", "));
    }
    Ok(stems.into_iter().map(str::to_owned).collect())
}

/// Expansion of a key: itself, if it is there or was measured in validation, else all keys that begin
/// with it and a dot, in the order of their numbers.
fn members(known: &BTreeSet<&str>, key: &str) -> Vec<String> {
    let there = |key: &str| known.contains(key) || known.contains(&*format!("{VALIDATION}{key}"));
    if there(key) {
        return vec![key.to_owned()];
    }
    let names = known.iter().map(|name| name.strip_prefix(VALIDATION).unwrap_or(name));
    let below = names.filter(|name| suffix(name, key).is_some());
    let mut below: Vec<String> = below.map(str::to_owned).collect();
    let number = |name: &String| suffix(name, key).and_then(|text| text.parse::<u64>().ok());
    below.sort_by(|a, b| number(a).cmp(&number(b)).then_with(|| a.cmp(b)));
    below.dedup();
    below
}

/// The part of a name after `key` and a dot.
fn suffix<'n>(name: &'n str, key: &str) -> Option<&'n str> {
    name.strip_prefix(key)?.strip_prefix('.')
}

/// One number of all runs, each in its color.
fn panel(runs: &[Run], key: &str, look: Look) -> Panel {
    let curves = runs.iter().enumerate().map(|(number, run)| curves(run, key, number, look));
    empty_panel(key, look).with(layered(curves))
}

/// Numbers of one run that belong together, each in its color.
fn group(run: &Run, title: &str, members: &[String], look: Look) -> Panel {
    let curves = members.iter().enumerate().map(|(number, key)| curves(run, key, number, look));
    let mut panel = empty_panel(title, look).with(layered(curves));
    panel.legend = (members.iter().enumerate())
        .map(|(number, key)| entry(suffix(key, title).unwrap_or(key), Some(number), Style::Line))
        .collect();
    panel
}

/// The curves of a number: as logged (pale, if it is also smoothed), smoothed, and in validation.
fn curves(run: &Run, key: &str, color: usize, look: Look) -> Vec<Curve> {
    let points = |key: &str| run.numbers.get(key).cloned();
    let mut curves = Vec::new();
    let mut add = |points: Vec<[f64; 2]>, style| curves.push(Curve { points, color, style });
    if let Some(points) = points(key) {
        if look.smooth > 0.0 && !key.starts_with(VALIDATION) && !SET.contains(&key) {
            let smooth = smoothed(&points, look.smooth);
            add(points, Style::Pale);
            add(smooth, Style::Line);
        } else {
            add(points, Style::Line);
        }
    }
    if let Some(points) = points(&format!("{VALIDATION}{key}")) {
        add(points, Style::Circles);
    }
    curves
}

/// The pale curves first, so that they lie behind all others.
fn layered(curves: impl Iterator<Item = Vec<Curve>>) -> Vec<Curve> {
    let mut curves: Vec<Curve> = curves.flatten().collect();
    curves.sort_by_key(|curve| curve.style != Style::Pale);
    curves
}

/// The average of all values so far, a value n lines back with the weight shareⁿ.
fn smoothed(points: &[[f64; 2]], share: f64) -> Vec<[f64; 2]> {
    let (mut sum, mut weights) = (0.0, 0.0);
    let average = |[x, y]: [f64; 2]| {
        (sum, weights) = (share * sum + y, share * weights + 1.0);
        [x, sum / weights]
    };
    points.iter().copied().filter(|point| point[1].is_finite()).map(average).collect()
}

fn entry(label: &str, color: Option<usize>, style: Style) -> Entry {
    Entry { label: label.to_owned(), color, style }
}

fn empty_panel(title: &str, look: Look) -> Panel {
    Panel {
        title: title.to_owned(),
        x_label: "iteration".to_owned(),
        logarithmic: look.logarithmic,
        ..Panel::default()
    }
}

impl Panel {
    fn with(self, curves: Vec<Curve>) -> Self {
        Self { curves, ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const PLAIN: Look = Look { smooth: 0.0, logarithmic: [false; 2], columns: 2 };

    fn run(keys: &[&str]) -> Run {
        let points = |key: &&str| ((*key).to_owned(), vec![[0.0, 1.0], [1.0, 3.0]]);
        let numbers: BTreeMap<_, _> = keys.iter().map(points).collect();
        Run { label: "run".to_owned(), lines: 2, numbers }
    }

    fn titles(runs: &[Run], keys: &[&str]) -> Vec<String> {
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        let figure = figure(runs, &keys, PLAIN).unwrap();
        figure.panels.into_iter().map(|panel| panel.title).collect()
    }

    #[test]
    fn usual_numbers_come_first_and_validation_joins_them() {
        let keys = ["iter", "lr", "val_L_mean", "L_mean", "grad_norm", "val_L_tail"];
        let chart = figure(&[run(&keys)], &[], PLAIN).unwrap();
        let styles = |panel: &Panel| panel.curves.iter().map(|c| c.style).collect::<Vec<_>>();
        let found: Vec<_> = chart.panels.iter().map(|p| (p.title.as_str(), styles(p))).collect();
        let expected = [
            ("L_mean", vec![Style::Line, Style::Circles]),
            ("L_tail", vec![Style::Circles]),
            ("lr", vec![Style::Line]),
        ];
        assert_eq!(found, expected);
        assert_eq!(chart.legend[1].label, "validation");
        assert_eq!(
            titles(&[run(&keys)], &["grad_norm", "val_L_mean"]),
            ["grad_norm", "val_L_mean"]
        );
        let unusual = run(&["iter", "epoch", "val_b.1", "a", "val_b.2", "c.1"]);
        assert_eq!(titles(&[unusual], &[]), ["a", "b", "c.1"]);
    }

    #[test]
    fn numbers_of_one_name_share_a_panel_of_one_run() {
        let one = run(&["usage.1", "usage.2", "usage.10"]);
        let chart = figure(&[one], &[], PLAIN).unwrap();
        assert_eq!(chart.panels.len(), 1);
        let labels: Vec<&str> = chart.panels[0].legend.iter().map(|e| e.label.as_str()).collect();
        assert_eq!(labels, ["1", "2", "10"]);
        let two = [run(&["usage.1", "usage.2"]), run(&["usage.2", "usage.3"])];
        assert_eq!(titles(&two, &["usage"]), ["usage.1", "usage.2", "usage.3"]);
    }

    #[test]
    fn unknown_names_are_refused_with_those_there_are() {
        let error = figure(&[run(&["a", "b"])], &["c".to_owned()], PLAIN).unwrap_err();
        assert_eq!(error.to_string(), "--keys c: no run has it; there are a, b");
        let error = figure(&[run(&["iter", "epoch"])], &[], PLAIN).unwrap_err();
        assert_eq!(error.to_string(), "the runs have logged no numbers but iter, epoch");
        let keys: Vec<String> = (0..41).map(|n| format!("key{n}")).collect();
        let many = run(&keys.iter().map(String::as_str).collect::<Vec<_>>());
        let error = figure(&[many], &[], PLAIN).unwrap_err().to_string();
        assert!(error.starts_with("41 panels, at most 40"), "{error}");
    }

    #[test]
    fn running_average_forgets_by_its_share() {
        let points = [[0.0, 4.0], [1.0, f64::NAN], [2.0, 1.0], [5.0, 1.0]];
        assert_eq!(smoothed(&points, 0.5), [[0.0, 4.0], [2.0, 2.0], [5.0, 10.0 / 7.0]]);
        let look = Look { smooth: 0.5, ..PLAIN };
        let runs = [run(&["a"]), run(&["a"])];
        let chart = figure(&runs, &["a".to_owned()], look).unwrap();
        let styles: Vec<Style> = chart.panels[0].curves.iter().map(|curve| curve.style).collect();
        assert_eq!(styles, [Style::Pale, Style::Pale, Style::Line, Style::Line]);
    }
}
