//! The description of the interface for programs, OpenAPI 3.1, written by hand and held against the code.

/// The file.
pub(crate) const TEXT: &str = include_str!("openapi.json");

/// `each` of every operation: its path, its method, its description.
#[cfg(test)]
pub(crate) fn operations<R>(each: impl Fn(&str, &str, &serde_json::Value) -> R) -> Vec<R> {
    let whole: serde_json::Value = serde_json::from_str(TEXT).unwrap();
    let paths = whole["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(move |(method, about)| (path, method, about))
    });
    all.map(|(path, method, about)| each(path, method, about)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::fault::Kind;

    #[test]
    fn error_codes_and_their_statuses_are_those_of_the_code() {
        let whole: Value = serde_json::from_str(TEXT).unwrap();
        let listed = whole["components"]["schemas"]["Error"]["properties"]["code"]["enum"].clone();
        let listed: Vec<&str> =
            listed.as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
        assert_eq!(listed, Kind::ALL.map(Kind::code));
        // Each answer's description begins with its codes; answers are found under their statuses.
        let mut described = BTreeSet::new();
        for answers in operations(|_, _, about| about["responses"].clone()) {
            for (status, answer) in answers.as_object().unwrap() {
                let Some(place) = answer["$ref"].as_str() else { continue };
                let text = whole.pointer(place.strip_prefix('#').unwrap()).unwrap();
                let (codes, _) =
                    text["description"].as_str().unwrap().split_once(':').unwrap_or_default();
                described.extend(codes.split(", ").map(|code| format!("{status} {code}")));
            }
        }
        let told = Kind::ALL.map(|kind| format!("{} {}", kind.status().as_u16(), kind.code()));
        assert_eq!(described, told.into());
    }
}
