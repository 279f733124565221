//! `var sample`: classes → images.

mod draw;
mod folder;
mod grid;
mod options;
mod plan;
mod reject;
mod share;

use anyhow::Result;
use var_host::engine::{Engine, ImageSpec, Sample};
use var_host::images::{Parameters, RgbImage};
use var_host::pipeline::parameters::precision;
use var_host::plural::count;

use crate::args::values::LARGEST_BATCH;
use crate::args::{Model, Session, Usage};
use crate::classes::Classes;
use crate::output;

use folder::Folder;
use plan::Plan;
use reject::Reject;
use share::Share;

pub(crate) use draw::{Drawing, ForcedTokens, batch_size};
pub(crate) use grid::{Grid, PADDING, columns};
pub(crate) use options::Options;

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
