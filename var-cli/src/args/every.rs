//! `--save-every`, `--val-every` and the like: 0 means never.

pub(crate) use var_host::train::fit::Every;

/// A number, or the one word that the option has besides.
pub(crate) fn every(word: Every) -> impl Fn(&str) -> Result<Every, String> + Clone {
    move |text| match text.trim().parse() {
        Ok(count) => Ok(Every::Count(count)),
        Err(_) if text == word.to_string() => Ok(word),
        Err(_) => Err(format!("wants a whole number, 0 for never, or {word}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_takes_0_for_never_and_one_word() {
        let end = every(Every::End);
        assert_eq!(end("0").map(Every::epochs), Ok(0));
        assert_eq!(end("3").map(Every::epochs), Ok(3));
        assert_eq!(end("end"), Ok(Every::End));
        assert_eq!(every(Every::Epoch)("epoch").map(|every| every.iterations(7)), Ok(7));
        for text in ["epoch", "-1", "1.5", "", "never"] {
            let fault = Err("wants a whole number, 0 for never, or end".to_owned());
            assert_eq!(end(text), fault, "{text}");
        }
    }
}
