//! `var convert`: checkpoints → one model file.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::{Context, Result};
use clap::Args;
use var_host::inception;
use var_host::model::convert;
use var_host::plural::count;

use crate::args::values::DtypeName;
use crate::args::{ModelOptions, Session, Usage};
use crate::{info, memory, output};

/// Make one model file of published or trained checkpoints
///
/// Tensors that are unknown, missing or of another shape are refused by name.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    model: ModelOptions,
    /// The model file to write
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// How matrices are stored
    #[arg(long, value_enum, default_value = "f32")]
    dtype: DtypeName,
    /// Names of the classes, in order
    #[arg(long, value_name = "NAME,NAME,…", value_delimiter = ',')]
    class_names: Vec<String>,
    /// A text file with the names of the classes, one a line; blank lines do not count
    #[arg(long, value_name = "FILE", conflicts_with = "class_names")]
    classes_file: Option<PathBuf>,
    /// Instead of a model, the published weights of Inception-v3 (pt_inception-2015-12-05-….pth), for
    /// `var evaluate`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "var", "vae", "ladder", "heads", "class_names", "classes_file", "dtype"])]
    inception: Option<PathBuf>,
}

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    if let Some(from) = &options.inception {
        output::check_file(&options.output, session)?;
        inception::convert(from, &options.output, session.force)?;
        return say_size(options, session);
    }
    output::check_file(&options.output, session)?;
    let model = options.model.open(session)?;
    let names = class_names(options, &model.weights.class_names)?;
    if let (Some((_, config)), false) = (&model.weights.transformer, names.is_empty())
        && names.len() != config.classes
    {
        let text =
            format!("{} of classes, the model has {}", count(names.len(), "name"), config.classes);
        return Err(Usage(text).into());
    }
    let of_classes = ["class_names", "classes_file"];
    let classless = model.weights.transformer.is_none();
    session.given.refuse(
        &of_classes,
        classless,
        "the model has no transformer, and so no classes",
    )?;
    let mut seen = HashMap::new();
    for (number, name) in names.iter().enumerate() {
        if let Some(other) = seen.insert(name, number) {
            session.warn(&format!("the classes {other} and {number} are both called {name:?}"));
        }
    }
    for line in info::configuration(&model.weights) {
        session.say(&line)?;
    }
    let progress = Mutex::new((session.progress(100, "%"), 0));
    let written = |done: u64, all: u64| {
        let mut progress = progress.lock().expect("nothing panics while it is held");
        let percent = 100 * done / all.max(1);
        let more = percent - progress.1;
        progress.1 = percent;
        progress.0.advance(more);
    };
    let precision = options.dtype.into();
    convert::convert(&model.weights, &options.output, precision, names, session.force, &written)?;
    drop(progress);
    say_size(options, session)
}

fn say_size(options: &Options, session: &Session) -> Result<()> {
    let size = fs::metadata(&options.output).map_or(0, |found| found.len());
    session.say(&format!("{}: {}", options.output.display(), memory::text(size)))
}

/// The names given, else those the model has already.
fn class_names(options: &Options, found: &[String]) -> Result<Vec<String>> {
    if let Some(path) = &options.classes_file {
        let text = fs::read_to_string(path)
            .with_context(|| format!("{}: cannot be read", path.display()))?;
        // Editors put a mark before the first line and a blank one after the last.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let names = text.lines().map(str::trim).filter(|line| !line.is_empty());
        return Ok(names.map(str::to_owned).collect());
    }
    if options.class_names.is_empty() {
        return Ok(found.to_vec());
    }
    Ok(options.class_names.iter().map(|name| name.trim().to_owned()).collect())
}
