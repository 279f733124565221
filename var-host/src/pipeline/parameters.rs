//! Parameters of an image: the command, the model and the request that make it again.

use crate::engine::{Engine, Sampling};
use crate::images::Parameters;
use crate::model::{ClassLookup, Identity, Weights};

/// Parameters of all images that `command` makes with a model called `name`.
pub fn of_model(command: &str, name: &str, weights: &Weights) -> Parameters {
    let mut parameters = of_command(command);
    let mut note = |key: &str, text: String| parameters.insert(key.to_owned(), text);
    note("model", name.to_owned());
    if let Some((_, config)) = &weights.transformer {
        note("heads", config.heads.to_string());
    }
    if let Some((_, config)) = &weights.vqvae {
        note("ladder", config.ladder.to_string());
    }
    for (half, identity) in ["model", "vae"].iter().zip(weights.identities()) {
        let Some(Identity { digest, source }) = identity else { continue };
        note(&format!("{half}_digest"), digest.to_string());
        if source != digest {
            note(&format!("{half}_source"), source.to_string());
        }
    }
    parameters
}

/// Parameters that say which command made a file.
pub fn of_command(command: &str) -> Parameters {
    let parameters =
        [("Software", "var"), ("version", env!("CARGO_PKG_VERSION")), ("command", command)];
    parameters.map(|(keyword, text)| (keyword.to_owned(), text.to_owned())).into()
}

/// Notes how tokens are drawn.
pub fn note_sampling(parameters: &mut Parameters, sampling: &Sampling) {
    let Sampling { seed, cfg, temperature, top_k, top_p, more_smooth } = sampling;
    let options = [
        ("seed", seed.to_string()),
        ("cfg", cfg.to_string()),
        ("temperature", temperature.to_string()),
        ("top_k", top_k.to_string()),
        ("top_p", top_p.to_string()),
        ("more_smooth", more_smooth.to_string()),
    ];
    parameters.extend(options.map(|(option, value)| (option.to_owned(), value)));
}

/// Notes an image's index and class, -1 for none, of a model of `count` classes with `names`.
pub fn note_image(
    parameters: &mut Parameters,
    index: u32,
    label: u32,
    (count, names): (usize, &[String]),
) {
    let (class, name) = match ClassLookup::of_model(count, names).get(label as usize) {
        _ if label as usize == count => ("-1".to_owned(), "none".to_owned()),
        Some(name) => (label.to_string(), name.clone()),
        None => (label.to_string(), label.to_string()),
    };
    let own = [("index", index.to_string()), ("class", class), ("class_name", name)];
    parameters.extend(own.map(|(key, value)| (key.to_owned(), value)));
}

/// Precision of products.
pub fn precision(engine: &Engine<'_>) -> String {
    #[cfg(feature = "cuda")]
    if let Some(gpu) = engine.gpu() {
        return format!("{:?}", gpu.cuda().precision()).to_lowercase();
    }
    let _ = engine;
    "f32".to_owned()
}
