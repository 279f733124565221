//! Runs and their digests.

use super::difference;
use crate::images::Parameters;

fn settings_of_seed_0() -> Parameters {
    let settings = [("Software", "var"), ("command", "sample"), ("seed", "0")];
    settings.map(|(key, text)| (key.to_owned(), text.to_owned())).into()
}

// S02: the same file name, another model.
#[test]
fn models_are_known_by_their_digests() {
    let digest = |of: &str| crate::checkpoint::Digest::of_bytes(of.as_bytes()).to_string();
    let parameters = |model: &str, source: Option<&str>| {
        let mut all = settings_of_seed_0();
        all.insert("model_digest".to_owned(), digest(model));
        all.extend(source.map(|source| ("model_source".to_owned(), digest(source))));
        all
    };
    let plain = parameters("abc", None);
    assert_eq!(difference(&plain, &plain), None);
    assert_eq!(difference(&settings_of_seed_0(), &plain), None, "nothing is known");
    assert_eq!(
        difference(&plain, &parameters("", None)).unwrap(),
        "was made with model_digest 6437b3ac3846, wanted is af1349b9f5f9"
    );
    assert_eq!(
        difference(&parameters("abc", Some("f32")), &parameters("", Some("f32"))).unwrap(),
        "was made with model_digest 6437b3ac3846, wanted is af1349b9f5f9 (the same weights in another \
         precision)"
    );
}
