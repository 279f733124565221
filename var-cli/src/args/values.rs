//! Parsers of single values. A value out of range is refused before anything is read or written.

use core::fmt;
use core::ops::RangeInclusive;

use clap::ValueEnum;
use var_host::SampleOptions;
use var_host::checkpoint::quantize::WeightDtype;
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
    /// The GPU of this number; without one, the process's own: `LOCAL_RANK`, or the first.
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

/// Precision of products on a GPU.
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

impl From<DtypeName> for WeightDtype {
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
    let sides: Result<Vec<usize>, _> = text.split(['_', '-']).map(str::parse).collect();
    let wants = "wants 256, 512, 1024 or ascending sides such as 1_2_3_4";
    let sides = sides.map_err(|_| wants.to_owned())?;
    Ladder::new(&sides).map_err(|error| format!("{error}: {wants}"))
}

/// A whole number of a range.
pub(crate) fn whole<T>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: Copy + fmt::Display + PartialOrd + TryFrom<i128> + Send + Sync + 'static,
{
    move |text| {
        let (first, last) = (range.start(), range.end());
        let Ok(number) = text.trim().parse::<i128>() else {
            return Err(format!("{text:?} is no whole number from {first} to {last}"));
        };
        match T::try_from(number) {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => Err(format!("{number} is not in {first}..={last}")),
        }
    }
}

/// Whether something is so.
pub(crate) fn truth(text: &str) -> Result<bool, String> {
    match text.to_lowercase().as_str() {
        "1" | "true" | "t" | "yes" | "y" | "on" => Ok(true),
        "0" | "false" | "f" | "no" | "n" | "off" => Ok(false),
        _ => Err("wants true or false, or 1 or 0".to_owned()),
    }
}

/// The same as a number.
pub(crate) fn flag(text: &str) -> Result<u8, String> {
    truth(text).map(u8::from)
}

/// Guidance strength.
pub(crate) fn guidance(text: &str) -> Result<f32, String> {
    number(text, SampleOptions::CFG)
}

/// A temperature.
pub(crate) fn temperature(text: &str) -> Result<f32, String> {
    number(text, SampleOptions::TEMPERATURE)
}

/// A probability.
pub(crate) fn probability(text: &str) -> Result<f32, String> {
    number(text, 0.0..=1.0)
}

/// A probability below 1: with 1 nothing would be learned.
pub(crate) fn below_1(text: &str) -> Result<f32, String> {
    let share: f32 = text.trim().parse().map_err(|_| format!("{text:?} is no number"))?;
    if (0.0..1.0).contains(&share) { Ok(share) } else { Err(format!("{share} is not in 0..1")) }
}

/// A finite number.
pub(crate) fn finite(text: &str) -> Result<f64, String> {
    let number: f64 = text.trim().parse().map_err(|_| format!("{text:?} is no number"))?;
    if number.is_finite() { Ok(number) } else { Err(format!("{number} is not finite")) }
}

/// A finite number, as the models hold it.
pub(crate) fn finite_f32(text: &str) -> Result<f32, String> {
    let number = finite(text)? as f32;
    if number.is_finite() { Ok(number) } else { Err(format!("{text} is more than f32 holds")) }
}

/// The greatest norm of a gradient; none from 0 down.
pub(crate) fn clip(text: &str) -> Result<f64, String> {
    Ok(finite(text)?.max(0.0))
}

/// Threads that read ahead; none from 0 down.
pub(crate) fn workers(text: &str) -> Result<u16, String> {
    Ok(whole(-1_i16..=1024)(text)?.max(0).unsigned_abs())
}

/// A share of a run, in f64: in f32 0.6 of 15 iterations would be more than 9.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.trim().parse().map_err(|_| format!("{text:?} is no number"))?;
    // NaN is in no range.
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(format!("{share} is not in 0..=1")) }
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

/// How many times the model's side an image's shorter side is resized to.
pub(crate) fn resize(text: &str) -> Result<f64, String> {
    let resize: f64 = text.trim().parse().map_err(|_| format!("{text:?} is no number"))?;
    // NaN is in no range.
    if (1.0..=16.0).contains(&resize) {
        Ok(resize)
    } else {
        Err(format!("{resize} is not in 1..=16"))
    }
}

/// Decay of a running average.
pub(crate) fn smoothing(text: &str) -> Result<f64, String> {
    let share: f64 = text.trim().parse().map_err(|_| format!("{text:?} is no number"))?;
    // With 1 nothing new would ever count; NaN is in no range.
    if (0.0..1.0).contains(&share) { Ok(share) } else { Err(format!("{share} is not in 0..1")) }
}

/// `y0,x0,y1,x1` as fractions of the image
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
    fn whole_numbers_say_their_range() {
        let seed = whole(0..=u64::MAX);
        assert_eq!(seed(" 7"), Ok(7));
        assert_eq!(seed("18446744073709551615"), Ok(u64::MAX));
        for text in ["-1", "18446744073709551616"] {
            let fault = format!("{text} is not in 0..=18446744073709551615");
            assert_eq!(seed(text), Err(fault));
        }
        for text in ["", "x", "1.5", "1e3"] {
            let fault = format!("{text:?} is no whole number from 0 to 9");
            assert_eq!(whole(0_u8..=9)(text), Err(fault));
        }
    }

    #[test]
    fn share_of_a_run_is_exact() {
        assert_eq!(share("0.6").map(|share| share * 15.0), Ok(9.0));
        for text in ["NaN", "-0.1", "1.1", "inf", ""] {
            assert!(share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn flags_are_typed_as_in_python() {
        assert_eq!(["1", "True", "yes"].map(flag), [Ok(1), Ok(1), Ok(1)]);
        assert_eq!(["0", "False", "off"].map(flag), [Ok(0), Ok(0), Ok(0)]);
        assert!(flag("2").is_err() && flag("").is_err());
    }

    #[test]
    fn values_that_learn_nothing_are_refused() {
        assert_eq!(below_1("0.999"), Ok(0.999));
        assert!(below_1("1").is_err() && below_1("NaN").is_err() && below_1("-0.1").is_err());
        assert!(finite("inf").is_err() && finite("NaN").is_err() && finite_f32("1e39").is_err());
        assert_eq!(["-1", "0", "2"].map(clip), [Ok(0.0), Ok(0.0), Ok(2.0)]);
        assert_eq!(["-1", "0", "2"].map(workers), [Ok(0), Ok(0), Ok(2)]);
    }

    #[test]
    fn crop_fits_into_what_it_is_cut_from() {
        assert_eq!(resize("1.125"), Ok(1.125));
        for text in ["0.99", "NaN", "-2", "inf", "17", "x"] {
            assert!(resize(text).is_err(), "{text}");
        }
    }

    #[test]
    fn average_takes_in_something_new() {
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
        assert_eq!(ladder("1-2-4").unwrap().sides(), [1, 2, 4]);
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
