//! Options of the published trainer (`train.py`) that decide nothing here. Command lines written for
//! it work as they stand: these are taken, with a line that says so, unless their value asks for
//! something this trainer does not do.

/// An option, the values it may have, and the reason why it decides nothing.
struct PassedOver {
    name: &'static str,
    /// All, if there are none.
    values: &'static [&'static str],
    why: &'static str,
}

const fn any(name: &'static str, why: &'static str) -> PassedOver {
    PassedOver { name, values: &[], why }
}

const fn only(
    name: &'static str,
    values: &'static [&'static str],
    why: &'static str,
) -> PassedOver {
    PassedOver { name, values, why }
}

const PASSED_OVER: [PassedOver; 16] = [
    any("tfast", "nothing is compiled at run time"),
    any("vfast", "nothing is compiled at run time"),
    any("fuse", "kernels are always fused"),
    any("afuse", "the optimizer is always fused"),
    only("opt", &["adamw", "adam"], "the optimizer is AdamW"),
    any("tlr", "the peak rate is --tblr · --bs / 256"),
    any("tf32", "--precision says what a GPU multiplies in"),
    any("exp-name", "a run is known by its folder, --out"),
    any("tb-log-dir-path", "TensorBoard events lie in --out"),
    any("log-txt-path", "the log lies in --out"),
    any("last-ckpt-path", "checkpoints lie in --out"),
    any("dbg-nan", "gradients are always checked"),
    only("patch-size", &["16"], "the VQVAE knows it"),
    only("same-seed-for-all-ranks", &["0"], "--seed decides for all ranks"),
    only("local-debug", &["0", "false", "False"], "it is off"),
    only("local-rank", &[], "LOCAL_RANK in the environment says it"),
];

/// Whether the published trainer has an option `name` that decides nothing here.
pub(crate) fn is_option(name: &str) -> bool {
    PASSED_OVER.iter().any(|option| option.name == name)
}

/// The reason why the option `name` decides nothing.
///
/// # Errors
/// If `value` asks for something this trainer does not do.
///
/// # Panics
/// If there is no such option.
pub(crate) fn passed_over(name: &str, value: &str) -> Result<&'static str, String> {
    let option = PASSED_OVER.iter().find(|option| option.name == name).expect("a name of these");
    if name == "local-rank" && std::env::var("LOCAL_RANK").as_deref() != Ok(value) {
        return Err("the launcher must set LOCAL_RANK to it: torchrun does".to_owned());
    }
    if option.values.is_empty() || option.values.contains(&value.to_lowercase().trim()) {
        return Ok(option.why);
    }
    Err(format!("var train knows {}: {}", option.values[0], option.why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_options_of_another_meaning_are_refused() {
        assert_eq!(passed_over("opt", "AdamW"), Ok("the optimizer is AdamW"));
        assert_eq!(passed_over("tfast", "0"), passed_over("tfast", "2"));
        for (name, value) in
            [("opt", "lion"), ("patch-size", "8"), ("local-debug", "1"), ("local-rank", "3")]
        {
            assert!(passed_over(name, value).is_err(), "{name} {value}");
        }
    }

    #[test]
    fn published_options_are_none_of_this_trainer() {
        let command = crate::tests::command();
        let train = command.find_subcommand("train").unwrap();
        let own: Vec<_> = train.get_arguments().filter_map(|arg| arg.get_long()).collect();
        for PassedOver { name, .. } in PASSED_OVER {
            assert!(!own.contains(&name), "--{name}");
        }
    }
}
