//! Numbers with their nouns in messages: `1 image`, `2 images`.

use core::fmt::Display;

/// A number and its noun.
pub fn count<N: Copy + Display + PartialEq + From<u8>>(number: N, one: &str) -> String {
    format!("{number} {}", noun(number, one))
}

/// Singular or plural of the noun `one`.
pub fn noun<N: PartialEq + From<u8>>(number: N, one: &str) -> String {
    match one {
        _ if number == N::from(1) => one.to_owned(),
        "%" => one.to_owned(),
        _ if one.ends_with('s') => format!("{one}es"),
        _ => format!("{one}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plural_is_for_all_but_one() {
        let has = [0, 1, 2].map(|number| count(number, "image"));
        assert_eq!(has, ["0 images", "1 image", "2 images"]);
        assert_eq!([1, 3].map(|number| count(number, "class")), ["1 class", "3 classes"]);
        assert_eq!(noun(100, "%"), "%");
    }
}
