//! Names of tensors: the parts that training wrappers put into them, the prefixes that models have.

use std::collections::BTreeSet;

use super::settings;
use crate::checkpoint::Checkpoint;

/// Prefix of our trainer's state beside the model.
pub const TRAINING: &str = "train.";

/// Segments of names that wrappers put in: DDP and `DataParallel`, `torch.compile`, FSDP (also before
/// PyTorch 2), activation checkpointing, Lightning.
const WRAPPERS: [&str; 6] = [
    "module",
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_fpw_module",
    "_checkpoint_wrapped_module",
    "_forward_module",
];

/// Segments of names that hold an optimizer's state, or ends of them after `_`.
const OPTIMIZERS: [&str; 5] = ["opt", "optim", "optimizer", "optimizers", "optimizer_states"];

/// Segments of names that hold the moments of gradients.
const MOMENTS: [&str; 3] = ["exp_avg", "exp_avg_sq", "momentum_buffer"];

/// `name` without the segments of wrappers.
pub(super) fn unwrapped(name: &str) -> String {
    let segments: Vec<&str> = name.split('.').filter(|name| !WRAPPERS.contains(name)).collect();
    segments.join(".")
}

/// The part of `name` before `mark`, empty or with a dot at its end; wrappers may stand anywhere.
pub(super) fn prefix<'n>(name: &'n str, mark: &str) -> Option<&'n str> {
    let segments: Vec<&str> = name.split('.').collect();
    let mut left = segments.len();
    for wanted in mark.rsplit('.') {
        while left > 0 && WRAPPERS.contains(&segments[left - 1]) {
            left -= 1;
        }
        if left == 0 || segments[left - 1] != wanted {
            return None;
        }
        left -= 1;
    }
    let length: usize = segments[..left].iter().map(|segment| segment.len() + 1).sum();
    Some(&name[..length])
}

/// Whether `name`, as a tensor or a prefix, belongs to an optimizer.
pub(super) fn is_of_optimizer(name: &str) -> bool {
    name.split('.').any(|segment| {
        let is = |word: &&str| {
            let before = segment.strip_suffix(*word);
            before.is_some_and(|before| before.is_empty() || before.ends_with('_'))
        };
        OPTIMIZERS.iter().any(is) || MOMENTS.contains(&segment)
    })
}

/// The prefixes under which `checkpoint` has the tensor `mark`, in order.
pub(super) fn prefixes(checkpoint: &Checkpoint, mark: &str) -> BTreeSet<String> {
    let names = checkpoint.tensors().map(|tensor| tensor.name);
    names.filter_map(|name| prefix(name, mark)).map(str::to_owned).collect()
}

/// Whether `prefix` is that of an optimizer's state or of our trainer's.
pub(super) fn is_training_state(checkpoint: &Checkpoint, prefix: &str) -> bool {
    let ours = checkpoint.metadata().contains_key(settings::KEY);
    is_of_optimizer(prefix) || ours && prefix.starts_with(TRAINING)
}

/// How well `prefix` is named by `part`: not, as a part of it, or as a whole.
pub(super) fn matches(prefix: &str, part: &str) -> Match {
    let (prefix, part) = (prefix.trim_end_matches('.'), part.trim_matches('.'));
    if prefix == part {
        return Match::Whole;
    }
    let (segments, wanted): (Vec<&str>, Vec<&str>) =
        (prefix.split('.').collect(), part.split('.').collect());
    match segments.windows(wanted.len()).any(|segments| segments == wanted) {
        true => Match::Segments,
        false => Match::None,
    }
}

/// How well a prefix is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Match {
    None,
    Segments,
    Whole,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_are_taken_out_wherever_they_stand() {
        for name in [
            "module.blocks.0.attn.proj.weight",
            "_orig_mod.module.blocks.0.attn.proj.weight",
            "blocks.0._orig_mod.attn.proj.weight",
            "_fsdp_wrapped_module.blocks.0._fsdp_wrapped_module.attn.proj.weight",
            "blocks.0._checkpoint_wrapped_module.attn._forward_module.proj.weight",
        ] {
            assert_eq!(unwrapped(name), "blocks.0.attn.proj.weight", "{name}");
        }
        assert_eq!(unwrapped("modules.x_module"), "modules.x_module");
    }

    #[test]
    fn prefix_is_found_across_wrappers() {
        let mark = "quantize.embedding.weight";
        for (name, wants) in [
            (mark, Some("")),
            ("vae.quantize._orig_mod.embedding.weight", Some("vae.")),
            ("vae.module.quantize.embedding.weight", Some("vae.module.")),
            ("xquantize.embedding.weight", None),
            ("embedding.weight", None),
            ("quantize.embedding.weight.scale", None),
        ] {
            assert_eq!(prefix(name, mark), wants, "{name}");
        }
        assert_eq!(prefix("module.pos_1LC", "pos_1LC"), Some("module."));
    }

    #[test]
    fn optimizer_words_alone_are_an_optimizers() {
        for name in ["opt.state", "trainer.var_opt.m", "optimizer.0", "a.exp_avg", "vae_optim.x"] {
            assert!(is_of_optimizer(name), "{name}");
        }
        for name in ["optimal_model.", "adopted.", "train.", "options.", "_orig_mod.", ""] {
            assert!(!is_of_optimizer(name), "{name}");
        }
    }

    #[test]
    fn parts_are_named_by_segments() {
        assert_eq!(matches("ema.", "ema"), Match::Whole);
        assert_eq!(matches("ema.var.", "ema"), Match::Segments);
        assert_eq!(matches("trainer.vae_ema.", "trainer.vae_ema"), Match::Whole);
        assert_eq!(matches("model_ema.", "ema"), Match::None);
        assert_eq!(matches("", ""), Match::Whole);
        assert_eq!(matches("ema.", ""), Match::None);
    }
}
