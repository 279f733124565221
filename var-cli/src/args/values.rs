//! Parsers of single values. A value out of range is refused before anything is read or written.

use core::fmt;
use core::ops::RangeInclusive;

use clap::ValueEnum;
use var_host::checkpoint::quantize::Precision;
use var_kernel::edit::Region;
use var_kernel::model::Ladder;

/// The most images of one run.
pub(crate) const MOST_IMAGES: u32 = 10_000_000;
/// The most images that go through the model together.
pub(crate) const LARGEST_BATCH: u16 = 4096;

/// Where to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceName {
    /// The processor.
    Cpu,
    /// The graphics card of this number; without one, the process's own: `LOCAL_RANK`, or the first.
    Cuda(Option<u16>),
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(None) => f.write_str("cuda"),
            Self::Cuda(Some(number)) => write!(f, "cuda:{number}"),
        }
    }
}

/// What products are computed in on a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrecisionName {
    F32,
    Tf32,
    F16,
    Bf16,
}

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DtypeName {
    F32,
    F16,
    Bf16,
    Q8,
}

impl From<DtypeName> for Precision {
    fn from(name: DtypeName) -> Self {
        match name {
            DtypeName::F32 => Self::F32,
            DtypeName::F16 => Self::F16,
            DtypeName::Bf16 => Self::Bf16,
            DtypeName::Q8 => Self::Q8,
        }
    }
}

/// `cpu`, `cuda`, `cuda:N`
pub(crate) fn device(text: &str) -> Result<DeviceName, String> {
    let number = match text {
        "cpu" => return Ok(DeviceName::Cpu),
        "cuda" => return Ok(DeviceName::Cuda(None)),
        _ => text.strip_prefix("cuda:").and_then(|number| number.parse().ok()),
    };
    number
        .map(|number| DeviceName::Cuda(Some(number)))
        .ok_or_else(|| "wants cpu, cuda or cuda:N".to_owned())
}

/// `256`, `512`, `1024`, or the sides as `1_2_3`
pub(crate) fn ladder(text: &str) -> Result<Ladder, String> {
    if let Some(ladder) = Ladder::named(text) {
        return Ok(ladder);
    }
    let sides: Result<Vec<usize>, _> = text.split('_').map(str::parse).collect();
    let wants = "wants 256, 512, 1024 or ascending sides such as 1_2_3_4";
    let sides = sides.map_err(|_| wants.to_owned())?;
    Ladder::new(&sides).map_err(|error| format!("{error}: {wants}"))
}

/// Guidance strength.
pub(crate) fn guidance(text: &str) -> Result<f32, String> {
    number(text, 0.0..=1000.0)
}

/// A probability.
pub(crate) fn probability(text: &str) -> Result<f32, String> {
    number(text, 0.0..=1.0)
}

/// A multiple of 8 up to 1024.
pub(crate) fn multiple_of_8(text: &str) -> Result<u16, String> {
    let number: u16 = text.trim().parse().map_err(|_| format!("{text:?} is no number"))?;
    if (8..=1024).contains(&number) && number.is_multiple_of(8) {
        Ok(number)
    } else {
        Err(format!("{number} is no multiple of 8 up to 1024"))
    }
}

/// A finite number that is not below 0.
pub(crate) fn not_negative(text: &str) -> Result<f64, String> {
    let number: f64 = text.trim().parse().map_err(|_| format!("{text:?} is no number"))?;
    if number.is_finite() && number >= 0.0 {
        Ok(number)
    } else {
        Err(format!("{number} is not 0 or above"))
    }
}

/// How many times the model's side a picture's shorter side is resized to.
pub(crate) fn resize(text: &str) -> Result<f64, String> {
    let resize: f64 = text.trim().parse().map_err(|_| format!("{text:?} is no number"))?;
    // NaN is in no range.
    if (1.0..=16.0).contains(&resize) {
        Ok(resize)
    } else {
        Err(format!("{resize} is not in 1..=16"))
    }
}

/// Share of what was before in a running average.
pub(crate) fn smoothing(text: &str) -> Result<f64, String> {
    let share: f64 = text.trim().parse().map_err(|_| format!("{text:?} is no number"))?;
    // With 1 nothing new would ever count; NaN is in no range.
    if (0.0..1.0).contains(&share) { Ok(share) } else { Err(format!("{share} is not in 0..1")) }
}

/// `y0,x0,y1,x1` as fractions of the picture
pub(crate) fn region(text: &str) -> Result<Region, String> {
    let numbers: Result<Vec<f32>, _> = text.split(',').map(probability).collect();
    match numbers?[..] {
        [top, left, bottom, right] if top < bottom && left < right => {
            Ok(Region { top, left, bottom, right })
        }
        [_, _, _, _] => Err("wants y0 < y1 and x0 < x1".to_owned()),
        ref other => Err(format!("wants 4 numbers y0,x0,y1,x1, got {}", other.len())),
    }
}

fn number(text: &str, range: RangeInclusive<f32>) -> Result<f32, String> {
    let number: f32 = text.trim().parse().map_err(|_| format!("{text:?} is no number"))?;
    // NaN is in no range.
    if range.contains(&number) {
        Ok(number)
    } else {
        Err(format!("{number} is not in {}..={}", range.start(), range.end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused() {
        for text in ["NaN", "-0.1", "1.1", "inf", "", "1,5"] {
            assert!(probability(text).is_err(), "{text}");
        }
        assert_eq!(probability(" 0.5"), Ok(0.5));
        assert_eq!(guidance("NaN"), Err("NaN is not in 0..=1000".to_owned()));
    }

    #[test]
    fn a_crop_fits_into_what_it_is_cut_from() {
        assert_eq!(resize("1.125"), Ok(1.125));
        for text in ["0.99", "NaN", "-2", "inf", "17", "x"] {
            assert!(resize(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_average_takes_in_something_new() {
        assert_eq!(smoothing("0.99"), Ok(0.99));
        for text in ["1", "-0.1", "NaN", "x"] {
            assert!(smoothing(text).is_err(), "{text}");
        }
    }

    #[test]
    fn regions_are_boxes_within_the_picture() {
        let region_of = |text| region(text).map(|r| [r.top, r.left, r.bottom, r.right]);
        assert_eq!(region_of("0,0.25,1,0.75"), Ok([0.0, 0.25, 1.0, 0.75]));
        for text in ["0,0,1", "0,0,0,1", "0.5,0,0.25,1", "0,0,2,1", "a,0,1,1"] {
            assert!(region(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ladders_are_named_or_spelled_out() {
        assert_eq!(ladder("256"), Ok(Ladder::named("256").unwrap()));
        assert_eq!(ladder("1_2_4").unwrap().sides(), [1, 2, 4]);
        for text in ["", "1_", "2_1", "0", "300", "1,2"] {
            // A side alone is a ladder of one scale, as long as such maps go.
            assert_eq!(ladder(text).is_ok(), text == "300", "{text}");
        }
    }

    #[test]
    fn devices_have_numbers() {
        assert!(matches!(device("cuda:3"), Ok(DeviceName::Cuda(Some(3)))));
        assert!(matches!(device("cuda"), Ok(DeviceName::Cuda(None))));
        assert!(matches!(device("cpu"), Ok(DeviceName::Cpu)));
        for text in ["gpu", "cuda:", "cuda:x", "cpu:0", ""] {
            assert!(device(text).is_err(), "{text}");
        }
    }
}
