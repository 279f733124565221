//! `var reconstruct`: pictures → tokens → pictures, and how much is lost on the way.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use var_host::engine::Engine;
use var_host::pictures::{self, Parameters, Picture};

use crate::args::{ModelOptions, Session, Usage, result};
use crate::output;

/// Encode and decode pictures, and tell the PSNR
///
/// PSNR is 20·log10(255 / root mean square difference) over the bytes, against the picture as the
/// model takes it: resized and cut out.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Pictures (PNG, JPEG, WebP): the shorter side is resized to the model's, the middle cut out
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// A folder for the reconstructions, called as the pictures are
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Also each picture as it looks after every scale
    #[arg(long)]
    per_scale: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelOptions,
}

#[derive(Serialize)]
struct Report {
    images: Vec<Reconstruction>,
    /// Of all images but those that came back without a difference.
    mean_psnr_db: Option<f64>,
}

#[derive(Serialize)]
struct Reconstruction {
    image: PathBuf,
    /// None where nothing differs.
    psnr_db: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    psnr_db_per_scale: Vec<Option<f64>>,
}

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    let model = options.model.open_vqvae()?;
    let mut engine = session.engine(&model.weights)?;
    let parameters = output::parameters("reconstruct", &model.name);
    let scales = engine.vqvae()?.ladder.scales();
    let stems = stems(&options.images)?;
    if let Some(folder) = &options.output {
        output::make_folder(folder)?;
        for path in stems.iter().flat_map(|stem| files(folder, stem, options, scales)) {
            output::check_picture(&path, &parameters, session)?;
        }
    }
    let mut progress = session.progress(options.images.len(), "images");
    let mut images = Vec::new();
    for (image, stem) in options.images.iter().zip(&stems) {
        let (psnr, pictures) = reconstruct(&mut engine, image, options.per_scale)?;
        if let Some(folder) = &options.output {
            for (path, picture) in files(folder, stem, options, scales).iter().zip(&pictures) {
                let mut parameters: Parameters = parameters.clone();
                parameters.insert("image".to_owned(), output::file_name(image));
                output::write_picture(path, picture, &parameters, session)?;
            }
        }
        let psnr_db_per_scale = if options.per_scale { psnr[1..].to_vec() } else { Vec::new() };
        images.push(Reconstruction { image: image.clone(), psnr_db: psnr[0], psnr_db_per_scale });
        progress.advance(1);
    }
    drop(progress);
    let finite: Vec<f64> = images.iter().filter_map(|image| image.psnr_db).collect();
    let mean = finite.iter().sum::<f64>() / finite.len() as f64;
    let report = Report { images, mean_psnr_db: (!finite.is_empty()).then_some(mean) };
    if options.json { result(&serde_json::to_string_pretty(&report)?) } else { print(&report) }
}

/// The picture made of a picture's tokens, then the one after each scale if wanted; and the PSNR of
/// each.
fn reconstruct(
    engine: &mut Engine<'_>,
    image: &Path,
    per_scale: bool,
) -> Result<(Vec<Option<f64>>, Vec<Picture>)> {
    let original = pictures::load_square(image, engine.vqvae()?.side())?;
    let tokens = engine.encode(&original)?;
    let mut pictures = Vec::new();
    let mut keep = |_, picture| pictures.push(picture);
    let whole = engine.decode(&tokens, if per_scale { Some(&mut keep) } else { None })?;
    pictures.insert(0, whole);
    Ok((pictures.iter().map(|picture| psnr(&original, picture)).collect(), pictures))
}

/// Peak signal-to-noise ratio in dB; none where nothing differs.
fn psnr(a: &Picture, b: &Picture) -> Option<f64> {
    let square = |(x, y): (&u8, &u8)| f64::from(x.abs_diff(*y)).powi(2);
    let sum: f64 = a.rgb().iter().zip(b.rgb()).map(square).sum();
    let mean = sum / a.rgb().len() as f64;
    (mean > 0.0).then(|| 10.0 * (255.0 * 255.0 / mean).log10())
}

/// The files of one reconstruction, in the order of [`reconstruct`]'s pictures.
fn files(folder: &Path, stem: &str, options: &Options, scales: usize) -> Vec<PathBuf> {
    let mut files = vec![folder.join(format!("{stem}.png"))];
    if options.per_scale {
        let of_scale = |scale| folder.join(format!("{stem}-scale{scale:02}.png"));
        files.extend((0..scales).map(of_scale));
    }
    files
}

/// The pictures' names without folder and ending, which must differ.
fn stems(images: &[PathBuf]) -> Result<Vec<String>> {
    let mut seen: HashMap<String, &Path> = HashMap::new();
    let mut stems = Vec::new();
    for image in images {
        let stem = image.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(other) = seen.insert(stem.clone(), image) {
            let (other, image) = (other.display(), image.display());
            return Err(Usage(format!("{other} and {image} would have one name")).into());
        }
        stems.push(stem);
    }
    Ok(stems)
}

fn print(report: &Report) -> Result<()> {
    let decibels = |psnr: &Option<f64>| match psnr {
        Some(psnr) => format!("{psnr:.2}"),
        None => "no difference".to_owned(),
    };
    for Reconstruction { image, psnr_db, psnr_db_per_scale } in &report.images {
        let scales: Vec<String> = psnr_db_per_scale.iter().map(decibels).collect();
        let scales =
            if scales.is_empty() { String::new() } else { format!(" ({})", scales.join(", ")) };
        result(&format!("{}: PSNR {} dB{scales}", image.display(), decibels(psnr_db)))?;
    }
    result(&format!("mean: PSNR {} dB", decibels(&report.mean_psnr_db)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn psnr_is_its_formula() {
        let grey = |level| Picture::filled(3, 2, [level; 3]);
        assert_eq!(psnr(&grey(7), &grey(7)), None);
        assert_eq!(psnr(&grey(0), &grey(255)), Some(0.0));
        // A tenth of the range is 20 dB.
        assert!((psnr(&grey(100), &grey(125)).unwrap() - 20.172).abs() < 1e-3);
    }
}
