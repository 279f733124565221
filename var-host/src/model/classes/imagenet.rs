//! Names of the 1000 classes of ImageNet (ILSVRC 2012), for published models, which do not name them.

use std::sync::LazyLock;

/// How many classes there are.
pub const CLASSES: usize = 1000;

/// A line for each class: its id in WordNet and its name.
static TEXT: &str = include_str!("imagenet.txt");

/// Ids and names in the order of their numbers.
fn classes() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = TEXT.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').expect("an id and a name in each line"))
}

/// The ids, by number, such as `n01440764`.
pub fn ids() -> &'static [String] {
    static IDS: LazyLock<Vec<String>> =
        LazyLock::new(|| classes().map(|(id, _)| id.to_owned()).collect());
    &IDS
}

/// The names, by number, such as `tench`.
pub fn names() -> &'static [String] {
    static NAMES: LazyLock<Vec<String>> =
        LazyLock::new(|| classes().map(|(_, name)| name.to_owned()).collect());
    &NAMES
}

/// The name of the class of an id.
pub fn name_of(id: &str) -> Option<&'static str> {
    ids().binary_search_by(|known| known.as_str().cmp(id)).ok().map(|class| names()[class].as_str())
}

/// Whether all of `names` are ids of classes.
pub fn are_ids(names: &[String]) -> bool {
    !names.is_empty() && names.iter().all(|name| name_of(name).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imagenet_has_a_thousand_classes_in_the_order_of_their_ids() {
        let (ids, names) = (ids(), names());
        assert_eq!((ids.len(), names.len()), (CLASSES, CLASSES));
        assert!(ids.is_sorted());
        for (number, id, name) in [
            (0, "n01440764", "tench"),
            (207, "n02099601", "golden retriever"),
            (980, "n09472597", "volcano"),
            (999, "n15075141", "toilet tissue"),
        ] {
            assert_eq!((ids[number].as_str(), names[number].as_str()), (id, name));
        }
        let own =
            |names: &[&str]| are_ids(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        assert!(own(&["n15075141", "n01440764"]) && !own(&["n15075141", "tench"]) && !own(&[]));
    }
}
