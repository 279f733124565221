//! `var reconstruct`: images → tokens → images, and how much is lost on the way.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;
use var_host::engine::Engine;
use var_host::images::{Parameters, RgbImage};
use var_host::lpips::{Lpips, SHORTEST_SIDE};

use crate::args::{ModelOptions, PhotographOptions, Session, Usage, result};
use crate::{output, run_folder};

/// Encode and decode images, and tell the PSNR, and LPIPS where its weights are given
///
/// PSNR is 20·log10(255 / root mean square difference) over the bytes, against the image as the
/// model takes it: resized and cut out.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Images (PNG, JPEG, WebP, BMP, GIF, TIFF, Netpbm): turned as EXIF says, the shorter side
    /// resized to the model's, the middle cut out
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// A folder for the reconstructions, called as the images are, and manifest.json, which says what
    /// made them; for one, a .png file will do. A folder of other images of `var` is refused; --force
    /// removes those that its manifest lists
    #[arg(long, short, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Also each image as it looks after every scale
    #[arg(long)]
    per_scale: bool,
    /// Weights of LPIPS on VGG16: also tell that distance of each (0: looks the same)
    #[arg(long, value_name = "FILE")]
    lpips: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    photograph: PhotographOptions,
    #[command(flatten)]
    model: ModelOptions,
}

#[derive(Serialize)]
struct ReconstructionReport {
    images: Vec<Reconstruction>,
    /// Of all images but those that came back without a difference.
    mean_psnr_db: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_lpips: Option<f32>,
}

#[derive(Serialize)]
struct Reconstruction {
    image: PathBuf,
    /// None where nothing differs.
    psnr_db: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lpips: Option<f32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    psnr_db_per_scale: Vec<Option<f64>>,
}

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    let model = options.model.open_vqvae(session)?;
    let mut engine = session.engine(&model.weights)?;
    let mut parameters = output::parameters("reconstruct", &model);
    options.photograph.note(&mut parameters);
    let (scales, side) = (engine.vqvae()?.ladder.scales(), engine.vqvae()?.side());
    let lpips = options.lpips.as_deref().map(Lpips::open).transpose()?;
    if lpips.is_some() && side < SHORTEST_SIDE {
        bail!("--lpips: the model's images have sides of {side}, LPIPS wants {SHORTEST_SIDE}");
    }
    let stems = stems(&options.images)?;
    // The folder stays locked until the last image is written.
    let mut _lock = None;
    if let Some(folder) = &options.output {
        let paths = stems.iter().flat_map(|stem| files(folder, stem, options, scales));
        if !output::is_one_image(folder)? {
            let names = paths.map(|path| output::file_name(&path)).collect();
            _lock = Some(run_folder::begin_files(folder, &parameters, names, session)?);
        } else if options.images.len() > 1 || options.per_scale {
            let text = format!("-o {}: wants a folder for several images", folder.display());
            return Err(Usage(text).into());
        } else {
            output::check_image(folder, &parameters, session)?;
        }
    }
    let mut progress = session.progress(options.images.len(), "image");
    let mut images = Vec::new();
    for (image, stem) in options.images.iter().zip(&stems) {
        let original = options.photograph.load(image, side)?;
        let pictures = reconstruct(&mut engine, &original, options.per_scale)?;
        let psnr: Vec<_> = pictures.iter().map(|picture| psnr(&original, picture)).collect();
        let lpips =
            lpips.as_ref().and_then(|lpips| lpips.distance(&engine.cpu(), &original, &pictures[0]));
        if let (Some(distance), Some(weights)) = (lpips, &options.lpips)
            && !distance.is_finite()
        {
            let (weights, image) = (weights.display(), image.display());
            bail!("{weights}: the distance of {image} is {distance}: are the weights LPIPS's?");
        }
        if let Some(folder) = &options.output {
            for (path, picture) in files(folder, stem, options, scales).iter().zip(&pictures) {
                let mut parameters: Parameters = parameters.clone();
                parameters.insert("image".to_owned(), output::file_name(image));
                output::write_image(path, picture, &parameters, session)?;
            }
        }
        let psnr_db_per_scale = if options.per_scale { psnr[1..].to_vec() } else { Vec::new() };
        let (image, psnr_db) = (image.clone(), psnr[0]);
        images.push(Reconstruction { image, psnr_db, lpips, psnr_db_per_scale });
        progress.advance(1);
    }
    drop(progress);
    let finite: Vec<f64> = images.iter().filter_map(|image| image.psnr_db).collect();
    let mean = finite.iter().sum::<f64>() / finite.len() as f64;
    let mean_psnr_db = (!finite.is_empty()).then_some(mean);
    let count = images.len() as f32;
    let lpips: Option<f32> = images.iter().map(|image| image.lpips).sum();
    let report =
        ReconstructionReport { images, mean_psnr_db, mean_lpips: lpips.map(|sum| sum / count) };
    if options.json { result(&serde_json::to_string_pretty(&report)?) } else { print(&report) }
}

/// The image made of an image's tokens, then the one after each scale if wanted.
fn reconstruct(
    engine: &mut Engine<'_>,
    original: &RgbImage,
    per_scale: bool,
) -> Result<Vec<RgbImage>> {
    let tokens = engine.encode(original)?;
    let mut pictures = Vec::new();
    let mut keep = |_, picture| pictures.push(picture);
    let whole = engine.decode(&tokens, if per_scale { Some(&mut keep) } else { None })?;
    pictures.insert(0, whole);
    Ok(pictures)
}

/// Peak signal-to-noise ratio in dB; none where nothing differs.
fn psnr(a: &RgbImage, b: &RgbImage) -> Option<f64> {
    let square = |(x, y): (&u8, &u8)| f64::from(x.abs_diff(*y)).powi(2);
    let sum: f64 = a.rgb().iter().zip(b.rgb()).map(square).sum();
    let mean = sum / a.rgb().len() as f64;
    (mean > 0.0).then(|| 10.0 * (255.0 * 255.0 / mean).log10())
}

/// The files of one reconstruction, in the order of [`reconstruct`]'s images.
fn files(folder: &Path, stem: &str, options: &Options, scales: usize) -> Vec<PathBuf> {
    if output::is_one_image(folder).unwrap_or(false) {
        return vec![folder.to_owned()];
    }
    let mut files = vec![folder.join(format!("{stem}.png"))];
    if options.per_scale {
        let of_scale = |scale| folder.join(format!("{stem}-scale{scale:02}.png"));
        files.extend((0..scales).map(of_scale));
    }
    files
}

/// The images' names without folder and ending, which must differ.
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

fn print(report: &ReconstructionReport) -> Result<()> {
    let decibels = |psnr: &Option<f64>| match psnr {
        Some(psnr) => format!("{psnr:.2}"),
        None => "no difference".to_owned(),
    };
    for Reconstruction { image, psnr_db, lpips, psnr_db_per_scale } in &report.images {
        let scales: Vec<String> = psnr_db_per_scale.iter().map(decibels).collect();
        let scales =
            if scales.is_empty() { String::new() } else { format!(" ({})", scales.join(", ")) };
        let lpips = lpips.map_or(String::new(), |lpips| format!(", LPIPS {lpips:.4}"));
        let psnr = decibels(psnr_db);
        result(&format!("{}: PSNR {psnr} dB{scales}{lpips}", image.display()))?;
    }
    result(&format!("mean: PSNR {} dB", decibels(&report.mean_psnr_db)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn psnr_is_its_formula() {
        let gray = |level| RgbImage::filled(3, 2, [level; 3]);
        assert_eq!(psnr(&gray(7), &gray(7)), None);
        assert_eq!(psnr(&gray(0), &gray(255)), Some(0.0));
        // A tenth of the range is 20 dB.
        assert!((psnr(&gray(100), &gray(125)).unwrap() - 20.172).abs() < 1e-3);
    }
}
