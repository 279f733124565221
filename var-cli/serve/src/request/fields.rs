//! The fields of a JSON object, each taken once; unknown ones are refused by name.

use core::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use crate::fault::{Fault, Kind};

/// The fields of a request that are not taken yet.
#[derive(Debug)]
pub(super) struct Fields {
    left: Map<String, Value>,
    /// Names of all fields that were asked for.
    known: Vec<String>,
}

/// The most characters of a file's name.
const LONGEST_NAME: usize = 255;

/// The greatest whole number below which all are exact in f64, as JavaScript has them.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl Fields {
    pub(super) fn of(body: Value) -> Result<Self, Fault> {
        match body {
            Value::Object(left) => Ok(Self { left, known: Vec::new() }),
            _ => Err(Fault::new(Kind::BrokenJson, "the body is JSON, but no object")),
        }
    }

    /// The field's value; none where it is absent or null.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.known.push(name.to_owned());
        self.left.remove(name).filter(|value| !value.is_null())
    }

    /// The field's value, which must be there.
    pub(super) fn wanted(&mut self, name: &str) -> Result<Value, Fault> {
        self.take(name).ok_or_else(|| Fault::of(Kind::Missing, name, "is missing"))
    }

    pub(super) fn truth(&mut self, name: &str) -> Result<Option<bool>, Fault> {
        let Some(value) = self.take(name) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| wrong_type(name, &value, "true or false"))
    }

    pub(super) fn number(
        &mut self,
        name: &str,
        range: RangeInclusive<f32>,
    ) -> Result<Option<f32>, Fault> {
        let Some(value) = self.take(name) else { return Ok(None) };
        number_of(name, &value, range).map(Some)
    }

    /// A whole number of a range.
    pub(super) fn whole(
        &mut self,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, Fault> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let (first, last) = (*range.start(), *range.end());
        let exact = |number: &f64| number.fract() == 0.0 && (0.0..EXACT).contains(number);
        let whole =
            value.as_u64().or_else(|| value.as_f64().filter(exact).map(|number| number as u64));
        match whole {
            Some(number) if range.contains(&number) => Ok(Some(number)),
            None if !value.is_number() => Err(wrong_type(name, &value, "a whole number")),
            _ => Err(out_of_range(name, &value, json!([first, last]), first, last)),
        }
    }

    /// The name of a file, as an image's parameters keep it.
    pub(super) fn file_name(&mut self, name: &str) -> Result<Option<String>, Fault> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let Value::String(text) = value else { return Err(wrong_type(name, &value, "a text")) };
        let length = text.chars().count();
        if length > LONGEST_NAME {
            let said = format!("has {length} characters, at most {LONGEST_NAME} are kept");
            let fault = Fault::of(Kind::Range, name, said);
            return Err(fault.with("value", length).with("limit", LONGEST_NAME));
        }
        if text.contains('\0') {
            return Err(Fault::of(Kind::Range, name, "has a NUL, which no file's name has"));
        }
        Ok(Some(text))
    }

    /// Refuses fields that nobody asked for.
    pub(super) fn finish(mut self) -> Result<(), Fault> {
        let Some(name) = self.left.keys().next().cloned() else { return Ok(()) };
        self.known.sort_unstable();
        self.known.dedup();
        let text = format!("no such option; there are {}", self.known.join(", "));
        let shown: String = name.chars().take(LONGEST_NAME).collect();
        Err(Fault::of(Kind::UnknownField, &shown, text))
    }
}

/// A number of a range.
pub(super) fn number_of(
    name: &str,
    value: &Value,
    range: RangeInclusive<f32>,
) -> Result<f32, Fault> {
    let (first, last) = (*range.start(), *range.end());
    let Some(number) = value.as_f64() else { return Err(wrong_type(name, value, "a number")) };
    // In f64 first: in f32 a number just past the end would be the end.
    let inside = (f64::from(first)..=f64::from(last)).contains(&number);
    if inside {
        Ok(number as f32)
    } else {
        Err(out_of_range(name, value, json!([first, last]), first, last))
    }
}

pub(super) fn wrong_type(name: &str, value: &Value, wants: &str) -> Fault {
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    Fault::of(Kind::Type, name, format!("wants {wants}, is {is}"))
}

fn out_of_range(
    name: &str,
    value: &Value,
    limit: Value,
    first: impl core::fmt::Display,
    last: impl core::fmt::Display,
) -> Fault {
    let fault = Fault::of(Kind::Range, name, format!("{value} is not in {first} to {last}"));
    fault.with("value", value.clone()).with("limit", limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: Value) -> Fields {
        Fields::of(body).unwrap()
    }

    #[test]
    fn numbers_out_of_range_name_the_option_and_both_numbers() {
        let fault = fields(json!({ "cfg": 1001 })).number("cfg", 0.0..=1000.0).unwrap_err();
        assert_eq!(
            fault.to_json(),
            json!({
                "code": "range", "message": "cfg: 1001 is not in 0 to 1000", "option": "cfg",
                "value": 1001, "limit": [0.0, 1000.0],
            })
        );
        for (value, kind) in
            [(json!(-1), Kind::Range), (json!(1.5), Kind::Range), (json!("1"), Kind::Type)]
        {
            let fault = fields(json!({ "count": value })).whole("count", 1..=64).unwrap_err();
            assert_eq!(fault.kind, kind, "{fault:?}");
        }
        let just_past = json!({ "top_p": 1.000_000_000_1 });
        assert!(fields(just_past).number("top_p", 0.0..=1.0).is_err());
    }

    #[test]
    fn whole_numbers_keep_all_their_bits() {
        let seed = |value: Value| fields(json!({ "seed": value })).whole("seed", 0..=u64::MAX);
        assert_eq!(seed(json!(u64::MAX)).unwrap(), Some(u64::MAX));
        assert_eq!(seed(json!(3.0)).unwrap(), Some(3));
        assert_eq!(seed(Value::Null).unwrap(), None);
        // Of more digits than f64 has, none could be told from the next.
        assert!(seed(json!(1e17)).is_err());
    }

    #[test]
    fn unknown_fields_are_refused_by_name() {
        let mut fields = fields(json!({ "seed": 1, "sede": 2 }));
        fields.whole("seed", 0..=9).unwrap();
        let fault = fields.finish().unwrap_err();
        assert_eq!(fault.to_json()["message"], "sede: no such option; there are seed");
    }
}
