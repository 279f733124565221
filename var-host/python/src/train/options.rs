//! Options of a run by the names of `var train`.

use core::ops::RangeInclusive;
use std::path::PathBuf;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use var_host::optim::schedule::Decay;
use var_host::train::fit::Every;
use var_host::train::{Initialization, Precision};
use var_host::{Intervals, RunOptions, TrainConfig, VarSize};

use crate::arguments::{double, out_of_range, real, truth, whole, wrong_type};

/// Every option of a run.
pub(super) struct Settings {
    pub(super) size: VarSize,
    pub(super) config: TrainConfig,
    pub(super) initialization: Initialization,
    pub(super) options: RunOptions,
}

/// Numbers in range, and the range in words.
type Range<T> = (fn(T) -> bool, &'static str);

const FINITE: Range<f64> = (f64::is_finite, "a finite number");
const FINITE_F32: Range<f32> = (f32::is_finite, "a finite number");
const NOT_NEGATIVE: Range<f64> = (|x| x.is_finite() && x >= 0.0, "0 or more");
const SHARE: Range<f64> = (|x| (0.0..=1.0).contains(&x), "0 to 1");
const SHARE_F32: Range<f32> = (|x| (0.0..=1.0).contains(&x), "0 to 1");
const BELOW_1: Range<f32> = (|x| (0.0..1.0).contains(&x), "0 to below 1");

const U32: RangeInclusive<u64> = 1..=u32::MAX as u64;

impl Settings {
    /// Reads `named`, in which no other name may be.
    pub(super) fn new(out: PathBuf, named: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let given = Given { left: named.map(|named| named.copy()).transpose()? };
        let size = size(&given)?;
        let config = config(&given)?;
        let from = Initialization::default();
        let initialization = Initialization {
            deviation: given.double("ini", FINITE, from.deviation)?,
            head: given.real("hd", FINITE_F32, from.head)?,
            modulation: given.real("aln", FINITE_F32, from.modulation)?,
            gates: given.real("alng", FINITE_F32, from.gates)?,
        };
        let from = RunOptions::new(out);
        let keep = given.whole("keep", 1..=1000, from.keep as u64)? as usize;
        let options = RunOptions { keep, every: intervals(&given)?, ..from };
        given.finish()?;
        Ok(Self { size, config, initialization, options })
    }
}

fn size(given: &Given<'_>) -> PyResult<VarSize> {
    let from = VarSize::default();
    let optional = |name, most| Ok::<_, PyErr>(given.optional(name, 1..=most)?.map(|n| n as usize));
    Ok(VarSize {
        depth: given.whole("depth", 1..=4096, from.depth as u64)? as usize,
        width: optional("width", 1 << 20)?,
        heads: optional("heads", 1 << 16)?,
        classes: optional("classes", 1 << 24)?,
        unit_length: given.truth("anorm", from.unit_length)?,
        shared_modulation: given.truth("saln", from.shared_modulation)?,
    })
}

fn config(given: &Given<'_>) -> PyResult<TrainConfig> {
    let from = TrainConfig::default();
    if given.has("ep")? && given.has("iterations")? {
        return Err(PyTypeError::new_err("iterations: instead of ep, not beside it"));
    }
    let precision = given.whole("fp16", 0..=2, 0)? as usize;
    let balance = given.double("balance", SHARE, 0.0)?;
    let drop_path = match given.has("drop_path")? {
        true => Some(given.real("drop_path", BELOW_1, 0.0)?),
        false => None,
    };
    Ok(TrainConfig {
        batch: given.whole("bs", U32, from.batch.into())? as u32,
        microbatches: given.whole("ac", U32, from.microbatches.into())? as u32,
        epochs: given.whole("ep", U32, from.epochs.into())? as u32,
        iterations: given.optional("iterations", 1..=u64::MAX)?,
        base_rate: given.double("tblr", NOT_NEGATIVE, from.base_rate)?,
        weight_decay: given.double("twd", NOT_NEGATIVE, from.weight_decay)?,
        weight_decay_end: given.double("twde", NOT_NEGATIVE, from.weight_decay_end)?,
        clip: given.double("tclip", NOT_NEGATIVE, from.clip)?,
        label_smoothing: given.real("ls", BELOW_1, from.label_smoothing)?,
        warmup: given.double("wp", NOT_NEGATIVE, from.warmup)?,
        warmup_start: given.double("wp0", NOT_NEGATIVE, from.warmup_start)?,
        final_rate: given.double("wpe", NOT_NEGATIVE, from.final_rate)?,
        decay: given.decay("sche", from.decay)?,
        precision: Precision::ALL[precision],
        progressive: given.double("pg", SHARE, from.progressive)?,
        progressive_first: given.whole("pg0", 0..=255, from.progressive_first.into())? as u8,
        progressive_warmup: given.double("pgwp", NOT_NEGATIVE, from.progressive_warmup)?,
        drop_path,
        class_dropout: given.real("cond_drop", SHARE_F32, from.class_dropout)?,
        ema: given.real("ema", BELOW_1, from.ema)?,
        no_shuffle: given.truth("no_shuffle", from.no_shuffle)?,
        balance: Some(balance).filter(|balance| *balance > 0.0),
        seed: given.whole("seed", 0..=u64::MAX, from.seed)?,
    })
}

fn intervals(given: &Given<'_>) -> PyResult<Intervals> {
    let from = Intervals::default();
    Ok(Intervals {
        save_every: given.every("save_every", Every::Epoch, from.save_every)?,
        validate_every: given.every("val_every", Every::End, from.validate_every)?,
        sample_every: given.every("sample_every", Every::End, from.sample_every)?,
        log_every: given.whole("log_every", 0..=u64::MAX, from.log_every)?,
        details_every: given.whole("details_every", 0..=u64::MAX, from.details_every)?,
    })
}

/// Options by name, those left that were not read yet.
struct Given<'py> {
    left: Option<Bound<'py, PyDict>>,
}

impl<'py> Given<'py> {
    /// The value of an option, which leaves; None is that of no option.
    fn take(&self, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(left) = &self.left else { return Ok(None) };
        let value = left.get_item(name)?;
        if value.is_some() {
            left.del_item(name)?;
        }
        Ok(value.filter(|value| !value.is_none()))
    }

    fn has(&self, name: &str) -> PyResult<bool> {
        let Some(left) = &self.left else { return Ok(false) };
        Ok(left.get_item(name)?.is_some_and(|value| !value.is_none()))
    }

    fn whole(&self, name: &str, range: RangeInclusive<u64>, default: u64) -> PyResult<u64> {
        whole(name, self.take(name)?.as_ref(), range, default)
    }

    fn optional(&self, name: &str, range: RangeInclusive<u64>) -> PyResult<Option<u64>> {
        let value = self.take(name)?;
        value.map(|value| whole(name, Some(&value), range, 0)).transpose()
    }

    fn real(&self, name: &str, range: Range<f32>, default: f32) -> PyResult<f32> {
        real(name, self.take(name)?.as_ref(), range, default)
    }

    fn double(&self, name: &str, range: Range<f64>, default: f64) -> PyResult<f64> {
        double(name, self.take(name)?.as_ref(), range, default)
    }

    fn truth(&self, name: &str, default: bool) -> PyResult<bool> {
        truth(name, self.take(name)?.as_ref(), default)
    }

    fn decay(&self, name: &str, default: Decay) -> PyResult<Decay> {
        let Some(value) = self.take(name)? else { return Ok(default) };
        let Ok(text) = value.extract::<String>() else {
            return Err(wrong_type(name, &value, "a str"));
        };
        let wrong = |error| PyValueError::new_err(format!("{name}: {error}"));
        text.parse().map_err(wrong)
    }

    /// A number, or the word of `word`.
    fn every(&self, name: &str, word: Every, default: Every) -> PyResult<Every> {
        let Some(value) = self.take(name)? else { return Ok(default) };
        if value.is_instance_of::<PyString>() {
            let text: String = value.extract()?;
            let wanted = format!("a number or '{word}'");
            let known = text == word.to_string();
            return known
                .then_some(word)
                .ok_or_else(|| out_of_range(name, format!("{text:?}"), wanted));
        }
        Ok(Every::Count(whole(name, Some(&value), 0..=u64::from(u32::MAX), 0)? as u32))
    }

    /// Refuses names that nothing asked for.
    fn finish(self) -> PyResult<()> {
        let Some(name) = self.left.and_then(|left| left.keys().iter().next()) else {
            return Ok(());
        };
        let text =
            format!("{name} is no option of train: they are those of `var train`, with _ for -");
        Err(PyTypeError::new_err(text))
    }
}
