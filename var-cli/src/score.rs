//! `var score`: how likely an image is under each class.

use core::f64::consts::LN_2;
use std::path::PathBuf;

use crate::args::values;
use crate::args::{ModelOptions, PhotographOptions, Session, Usage, result};
use crate::classes::Classes;
use crate::data_set;
use anyhow::Result;
use clap::Args;
use serde::Serialize;

/// Tell how likely images are under the model's classes
///
/// The log-likelihood is the sum over all tokens, in nats, without guidance or filter. Bits per
/// token is its negative, divided by the number of tokens and ln 2.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Images (PNG, JPEG, WebP, BMP, GIF, TIFF, Netpbm): turned as EXIF says, the shorter side
    /// resized to the model's, the middle cut out
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// Classes: numbers, ranges 0-9, names or parts of them, `all`, -1 for none; separated by
    /// commas; in quotes within the list, a name whatever it looks like [default: all, if they are at most 100]
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    classes: Option<String>,
    /// Before the cut, the shorter side is resized to so many times the model's [default: as the
    /// model's file says that its images were, else 1]
    #[arg(long, value_name = "RATIO", value_parser = values::resize)]
    mid_reso: Option<f64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    photograph: PhotographOptions,
    #[command(flatten)]
    model: ModelOptions,
}

/// The most classes that are scored without being asked for: each is a pass of the transformer.
const MOST_UNASKED: usize = 100;
/// The most classes that are printed for people.
const MOST_PRINTED: usize = 10;

#[derive(Serialize)]
struct ScoreReport {
    image: PathBuf,
    tokens: usize,
    most_likely: ClassScore,
    /// The most likely first.
    classes: Vec<ClassScore>,
}

#[derive(Clone, Serialize)]
struct ClassScore {
    /// -1 = none.
    class: i32,
    name: String,
    log_likelihood_nats: f64,
    bits_per_token: f64,
}

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    let model = options.model.open_whole(session)?;
    let mut engine = session.engine(&model.weights)?;
    let classes = Classes::of(&engine, &model, session)?;
    let labels = match &options.classes {
        Some(text) => classes.parse("--classes", text, session)?,
        None if classes.count() <= MOST_UNASKED => (0..classes.null()).collect(),
        None => {
            let count = classes.count();
            let text = format!("the model has {count} classes: say which with --classes, or all");
            return Err(Usage(text).into());
        }
    };
    let side = engine.vqvae()?.side();
    let learned = model.weights.cut.map(|cut| cut.mid_reso);
    let mid_reso = options.mid_reso.or(learned).unwrap_or(1.0);
    let mut progress = session.progress(options.images.len() * labels.len(), "class");
    let mut reports = Vec::new();
    for image in &options.images {
        let picture = options.photograph.open(image)?;
        let tokens = engine.encode(&data_set::middle(&picture, side, mid_reso, image)?)?;
        let mut scores = Vec::new();
        for label in &labels {
            let nll = engine.nll(&tokens, *label)?;
            let nats: f64 = nll.iter().map(|nats| f64::from(*nats)).sum();
            scores.push(ClassScore {
                class: classes.number(*label),
                name: classes.name(*label),
                log_likelihood_nats: -nats,
                bits_per_token: nats / LN_2 / tokens.len() as f64,
            });
            progress.advance(1);
        }
        scores.sort_by(|a, b| b.log_likelihood_nats.total_cmp(&a.log_likelihood_nats));
        let most_likely = scores[0].clone();
        let (image, tokens) = (image.clone(), tokens.len());
        reports.push(ScoreReport { image, tokens, most_likely, classes: scores });
    }
    drop(progress);
    if options.json {
        return result(&serde_json::to_string_pretty(&reports)?);
    }
    reports.iter().try_for_each(print)
}

fn print(report: &ScoreReport) -> Result<()> {
    result(&format!("{}: most likely {}", report.image.display(), report.most_likely.name))?;
    for score in report.classes.iter().take(MOST_PRINTED) {
        let ClassScore { class, name, log_likelihood_nats, bits_per_token } = score;
        result(&format!(
            "  {class:>5}  {log_likelihood_nats:>12.3} nats  {bits_per_token:>7.4} bits per token  {name}"
        ))?;
    }
    match report.classes.len().saturating_sub(MOST_PRINTED) {
        0 => Ok(()),
        more => result(&format!("  and {more} less likely (--json prints all)")),
    }
}
