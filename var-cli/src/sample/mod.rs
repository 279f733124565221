//! `var sample`: classes → images.

mod draw;
mod folder;
mod grid;
mod plan;
mod reject;
mod share;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use var_host::engine::{Engine, ImageSpec, Sample};
use var_host::images::{Parameters, RgbImage};
use var_host::plural::count;

use crate::args::values::{LARGEST_BATCH, MOST_IMAGES};
use crate::args::{Model, ModelOptions, SamplingOptions, Session, Usage, values};
use crate::classes::Classes;
use crate::output;

use folder::Folder;
use plan::Plan;
use reject::Reject;
use share::Share;

pub(crate) use draw::{Drawing, ForcedTokens, batch_size};
pub(crate) use grid::{Grid, PADDING, columns};

/// Sample images
///
/// Without options: sixteen images of random classes by the built-in model, as one image in
/// samples.png.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Classes: numbers, ranges 0-9, names or parts of them, `all`, -1 for none; separated by
    /// commas; in quotes within the list, a name whatever it looks like [default: random]
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    class: Option<String>,
    /// How many images; the classes are gone through again and again
    /// [default: one for each class given, else 16]
    #[arg(long, value_name = "N", value_parser = values::whole(1_u32..=MOST_IMAGES))]
    count: Option<u32>,
    /// How many images of each class; without --class, of all classes
    #[arg(long, value_name = "N", conflicts_with = "count", value_parser = values::whole(1_u32..=MOST_IMAGES))]
    per_class: Option<u32>,
    /// Images that go through the model together; the images do not depend on it
    /// [default: up to 8, as memory allows]
    #[arg(long, value_name = "N", value_parser = values::whole(1_u16..=LARGEST_BATCH))]
    batch: Option<u16>,
    /// Where to: a .png file for all images as one, or a folder (there already, or with a slash at
    /// the end) for a file each. Into a folder, an interrupted run goes on where it stopped: images
    /// that are there with the same parameters are kept (unless --tokens wants all tokens again).
    /// With RANK and WORLD_SIZE in the environment, each of WORLD_SIZE processes makes its share
    /// (rank R images R, R + WORLD_SIZE, …) and says so; so too under mpirun or srun; --alone makes all
    #[arg(long, short, value_name = "PATH", default_value = "samples.png", verbatim_doc_comment)]
    output: PathBuf,
    /// Columns of the one image [default: as many as rows, or one more]
    #[arg(long, value_name = "COLUMNS", value_parser = values::whole(1_u16..=10_000))]
    grid: Option<u16>,
    /// Also save the token maps in this file
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// Also save each image as it looks after every scale, in this folder
    #[arg(long, value_name = "DIR")]
    progressive: Option<PathBuf>,
    /// Go on from the first --scales scales of these token maps; without --count, one image for each
    #[arg(long, value_name = "TOKENS", requires = "scales", conflicts_with = "per_class")]
    from: Option<PathBuf>,
    /// How many scales to take from --from
    #[arg(long, value_name = "K", requires = "from", value_parser = values::whole(1..=usize::MAX))]
    scales: Option<usize>,
    /// Rejection sampling: draw N candidates for each image and keep the one with the greatest
    /// log-likelihood ratio between its class and no class, as the model itself scores them
    #[arg(long, value_name = "N", conflicts_with_all = ["from", "progressive"], value_parser = values::whole(1_u32..=10_000))]
    reject: Option<u32>,
    /// Keep the candidate of the highest score in this file instead: lines of index,score; candidate c
    /// of image i has index i·N + c, and is image i·N + c of a run with N times as many --per-class
    /// and without --reject. A line `# seed 3` in it says that the candidates were made with seed 3; so
    /// too the other parameters that images keep, as model_digest: what differs is refused
    #[arg(long, value_name = "FILE", requires = "reject")]
    reject_scores: Option<PathBuf>,
    #[command(flatten)]
    sampling: SamplingOptions,
    #[command(flatten)]
    model: ModelOptions,
}

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    let into_folder = output::is_folder(&options.output)?;
    if into_folder && options.grid.is_some() {
        return Err(Usage("--grid goes with one image, -o names a folder".to_owned()).into());
    }
    let launch = session.launch()?;
    if let Some(share) = launch.share()
        && (!into_folder || options.tokens.is_some())
    {
        let text = format!(
            "{} processes: only -o DIR/ without --tokens can be shared out ({share}; --alone is one \
             process whatever that says)",
            launch.size
        );
        return Err(Usage(text).into());
    }
    let model = options.model.open_whole(session)?;
    let mut engine = session.engine(&model.weights)?;
    let classes = Classes::of(&engine, &model, session)?;
    let Plan { jobs, kept } = Plan::new(options, &engine, &model.weights, classes, session)?;
    let reject = options
        .reject
        .map(|candidates| Reject::new(candidates, jobs.len(), options.reject_scores.as_deref()));
    let reject = reject.transpose()?;
    options.sampling.check(&jobs, classes, session)?;
    let all = jobs.clone();
    let jobs = Share::from(&launch).part(jobs);
    let mut shared = parameters(options, &model);
    shared.insert("precision".to_owned(), precision(&engine));
    if let Some(reject) = &reject {
        reject.check(&shared)?;
    }
    if let Some(path) = &options.tokens {
        output::check_file(path, session)?;
    }
    let candidates = reject.as_ref().map_or(1, |reject| reject.candidates() as usize);
    let mut drawn = jobs.clone();
    // As many more as could go through the model together.
    let more = jobs.len().saturating_mul(candidates - 1).min(LARGEST_BATCH.into());
    drawn.extend(jobs.iter().cycle().take(more));
    let batch = batch_size(&engine, options.batch, &drawn, options.sampling.cfg)?;
    let steps = options.progressive.as_deref().map(|path| {
        let mut shared = shared.clone();
        shared.insert("command".to_owned(), "sample --progressive".to_owned());
        let suffixes = (0..engine.vqvae()?.ladder.scales()).map(suffix).collect();
        Folder::begin(path, shared, classes, &all, suffixes, session)
    });
    let steps = steps.transpose()?;
    let each_scale = |job: ImageSpec, scale: usize, picture: &RgbImage| match &steps {
        Some(folder) => folder.write(job, &suffix(scale), picture),
        None => Ok(()),
    };
    let drawing = Drawing {
        sampling: options.sampling.sampling(),
        batch,
        kept,
        each_scale: steps.is_some().then_some(&each_scale),
    };
    let draw = |engine: &mut Engine<'_>, jobs: &[ImageSpec], each: Each<'_>| match &reject {
        Some(reject) => reject.draw(&drawing, engine, jobs, session, each),
        None => drawing.draw(engine, jobs, session, each),
    };

    let mut maps = Vec::new();
    let mut keep_tokens = |tokens: Vec<u32>| {
        if options.tokens.is_some() {
            maps.push(tokens);
        }
    };
    if into_folder {
        let plain = vec![String::new()];
        let folder = Folder::begin(&options.output, shared, classes, &all, plain, session)?;
        let mut missing = folder.missing(&jobs)?;
        if options.tokens.is_some() {
            missing.clone_from(&jobs);
        }
        share::announce(&launch, jobs.len(), all.len());
        draw(&mut engine, &missing, &mut |sample| {
            keep_tokens(sample.tokens);
            folder.write(sample.job, "", &sample.picture)
        })?;
        let (made, path) = (missing.len(), options.output.display());
        let there = jobs.len() - made;
        let made = count(made, "image");
        let were = if there == 1 { "was" } else { "were" };
        session.say(&format!("{path}: {made} made, {there} {were} there already"))?;
    } else {
        let size = (options.grid, engine.vqvae()?.side());
        let grid = Grid::new(&options.output, &jobs, size, shared, classes, session)?;
        share::announce(&launch, jobs.len(), all.len());
        let mut pictures = Vec::new();
        draw(&mut engine, &jobs, &mut |sample| {
            keep_tokens(sample.tokens);
            pictures.push(sample.picture);
            Ok(())
        })?;
        grid.write(&pictures, session)?;
    }
    if let Some(path) = &options.tokens {
        let labels = jobs.iter().map(|job| classes.number(job.label)).collect();
        let ladder = &engine.vqvae()?.ladder;
        output::write_tokens(path, &model.weights, ladder, maps, Some(labels), session)?;
    }
    Ok(())
}

/// What follows the name of an image as it looks after a scale.
fn suffix(scale: usize) -> String {
    format!("-scale{scale:02}")
}

/// What products are computed in.
fn precision(engine: &Engine<'_>) -> String {
    #[cfg(feature = "cuda")]
    if let Some(card) = engine.card() {
        return format!("{:?}", card.cuda().precision()).to_lowercase();
    }
    let _ = engine;
    "f32".to_owned()
}

/// Callback with the images of a run, in order.
type Each<'a> = &'a mut dyn FnMut(Sample) -> Result<()>;

/// Parameters of all images of the run.
fn parameters(options: &Options, model: &Model) -> Parameters {
    let mut parameters = output::parameters("sample", model);
    options.sampling.note(&mut parameters);
    if let (Some(file), Some(scales)) = (&options.from, options.scales) {
        parameters.insert("from".to_owned(), output::file_name(file));
        parameters.insert("scales".to_owned(), scales.to_string());
    }
    if let Some(candidates) = options.reject {
        let by = options.reject_scores.as_deref().map(output::file_name);
        parameters.insert("reject".to_owned(), candidates.to_string());
        let by = by.unwrap_or_else(|| "likelihood".to_owned());
        parameters.insert("reject_by".to_owned(), by);
    }
    parameters
}
