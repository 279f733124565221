//! `var info`: what a model is, and what it takes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use var_host::engine::{Engine, Work};
use var_host::model::settings::{VaeSettings, VarSettings};
use var_host::model::weights::{transformer_tensors, vqvae_tensors};
use var_host::model::{Part, Weights};

use crate::args::{ModelOptions, Session, result};
use crate::memory;

/// Show a model's configuration, size, and what it takes to run
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Model file [default: the built-in model]
    #[arg(value_name = "MODEL", conflicts_with_all = ["model", "var", "vae"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    model: ModelOptions,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Batches whose memory is told.
const BATCHES: [usize; 4] = [1, 2, 4, 8];

#[derive(Serialize)]
struct Report {
    model: String,
    file_bytes: usize,
    /// Tensors of each element type.
    dtypes: BTreeMap<String, usize>,
    transformer: Option<VarSettings>,
    heads_assumed: bool,
    vqvae: Option<VaeSettings>,
    picture_side: Option<usize>,
    class_names: Vec<String>,
    parameters: Parameters,
    takes: Option<Takes>,
}

#[derive(Default, Serialize)]
struct Parameters {
    transformer: usize,
    encoder: usize,
    decoder: usize,
    quantizer: usize,
    total: usize,
}

/// What sampling takes.
#[derive(Serialize)]
struct Takes {
    /// With guidance, decoding included.
    gflop_per_image: f64,
    gflop_per_image_without_guidance: f64,
    gflop_decoder: f64,
    /// Bytes besides the weights for a batch of so many images, with guidance.
    memory_bytes: BTreeMap<usize, u64>,
}

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    let model = match &options.file {
        None => options.model.open()?,
        Some(file) => {
            let ModelOptions { ladder, heads, .. } = options.model;
            let model = Some(file.clone());
            ModelOptions { model, ladder, heads, ..ModelOptions::default() }.open()?
        }
    };
    let weights = &model.weights;
    // What is told here does not depend on where it is computed.
    let engine = session.engine_on_cpu(weights)?;
    let (file_bytes, dtypes) = files(weights);
    let report = Report {
        model: model.name,
        file_bytes,
        dtypes,
        transformer: weights.transformer.as_ref().map(|(_, config)| config.into()),
        heads_assumed: weights.heads_assumed,
        vqvae: weights.vqvae.as_ref().map(|(_, config)| config.into()),
        picture_side: weights.vqvae.as_ref().map(|(_, config)| config.side()),
        class_names: weights.class_names.clone(),
        parameters: parameters(weights),
        takes: match (&weights.transformer, &weights.vqvae) {
            (Some(_), Some(_)) => Some(takes(&engine)?),
            _ => None,
        },
    };
    if options.json {
        return result(&serde_json::to_string_pretty(&report)?);
    }
    print(&report, weights)
}

/// One line for each half of a model.
pub(crate) fn configuration(weights: &Weights) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some((_, config)) = &weights.transformer {
        let assumed =
            if weights.heads_assumed { " (width / 64: the file does not say)" } else { "" };
        let shared = if config.shared_modulation { ", shared AdaLN" } else { "" };
        lines.push(format!(
            "transformer: depth {}, width {}, {} heads{assumed}, {} classes, ladder {}{shared}",
            config.depth, config.width, config.heads, config.classes, config.ladder
        ));
    }
    if let Some((_, config)) = &weights.vqvae {
        lines.push(format!(
            "VQVAE: {} codes of width {}, channels {} × {:?}, ladder {}, pictures {} × {}",
            config.codes,
            config.latent,
            config.channels,
            config.multipliers.as_slice(),
            config.ladder,
            config.side(),
            config.side()
        ));
    }
    lines
}

fn print(report: &Report, weights: &Weights) -> Result<()> {
    let dtypes: Vec<String> =
        report.dtypes.iter().map(|(dtype, count)| format!("{count} {dtype}")).collect();
    let size = memory::text(report.file_bytes as u64);
    result(&format!("{}: {size}, tensors: {}", report.model, dtypes.join(", ")))?;
    for line in configuration(weights) {
        result(&line)?;
    }
    if !report.class_names.is_empty() {
        result(&format!("classes: {}", report.class_names.join(", ")))?;
    }
    let Parameters { transformer, encoder, decoder, quantizer, total } = report.parameters;
    let millions = |count: usize| format!("{:.2} M", count as f64 / 1e6);
    result(&format!(
        "parameters: {} (transformer {}, encoder {}, decoder {}, quantizer {})",
        millions(total),
        millions(transformer),
        millions(encoder),
        millions(decoder),
        millions(quantizer)
    ))?;
    let Some(takes) = &report.takes else { return Ok(()) };
    result(&format!(
        "an image: {:.1} GFLOP with guidance, {:.1} without, of these {:.1} for decoding",
        takes.gflop_per_image, takes.gflop_per_image_without_guidance, takes.gflop_decoder
    ))?;
    let memory = takes.memory_bytes.iter();
    let memory: Vec<_> =
        memory.map(|(batch, bytes)| format!("{batch}: {}", memory::text(*bytes))).collect();
    result(&format!("memory besides the weights, by batch: {}", memory.join(", ")))
}

/// Bytes and element types of the model's files.
pub(crate) fn files(weights: &Weights) -> (usize, BTreeMap<String, usize>) {
    let parts = [
        weights.transformer.as_ref().map(|(part, _)| part),
        weights.vqvae.as_ref().map(|(part, _)| part),
    ];
    let mut parts: Vec<&Part> = parts.into_iter().flatten().collect();
    parts.dedup_by(|a, b| core::ptr::eq(a.checkpoint(), b.checkpoint()));
    let mut dtypes = BTreeMap::new();
    for tensor in parts.iter().flat_map(|part| part.checkpoint().tensors()) {
        *dtypes.entry(tensor.dtype.to_string()).or_default() += 1;
    }
    (parts.iter().map(|part| part.checkpoint().file_size()).sum(), dtypes)
}

fn parameters(weights: &Weights) -> Parameters {
    let mut counts = Parameters::default();
    if let Some((_, config)) = &weights.transformer {
        let tensors = transformer_tensors(*config);
        counts.transformer =
            tensors.iter().map(|wanted| wanted.shape.iter().product::<usize>()).sum();
    }
    if let Some((_, config)) = &weights.vqvae {
        for wanted in vqvae_tensors(*config) {
            let count: usize = wanted.shape.iter().product();
            match wanted.name.split('.').next() {
                Some("encoder" | "quant_conv") => counts.encoder += count,
                Some("decoder" | "post_quant_conv") => counts.decoder += count,
                _ => counts.quantizer += count,
            }
        }
    }
    counts.total = counts.transformer + counts.encoder + counts.decoder + counts.quantizer;
    counts
}

fn takes(engine: &Engine<'_>) -> Result<Takes> {
    let gflop = |multiply_adds: u64| 2.0 * multiply_adds as f64 / 1e9;
    let mut memory_bytes = BTreeMap::new();
    for batch in BATCHES {
        memory_bytes.insert(batch, memory::of_sampling(engine, batch, true)?.0);
    }
    Ok(Takes {
        gflop_per_image: gflop(memory::of_sampling(engine, 1, true)?.1.multiply_adds),
        gflop_per_image_without_guidance: gflop(
            memory::of_sampling(engine, 1, false)?.1.multiply_adds,
        ),
        gflop_decoder: gflop(engine.work(Work::Decode)?.multiply_adds),
        memory_bytes,
    })
}
