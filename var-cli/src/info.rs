//! `var info`: a model's configuration and cost.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;
use var_host::engine::{Engine, Workload};
use var_host::model::settings::{VaeSettings, VarSettings};
use var_host::model::weights::{transformer_tensors, vqvae_tensors};
use var_host::model::{Identity, ModelPart, Weights};
use var_host::plural::count;

use crate::args::{ModelOptions, Session, result};
use crate::memory;

/// Show a model's configuration, size and cost
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Model file [default: the built-in model]
    #[arg(value_name = "MODEL", conflicts_with_all = ["model", "var", "vae"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    model: ModelOptions,
    /// Compute the digests anew and compare them with those that the files carry
    #[arg(long, conflicts_with = "no_verify")]
    verify: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Batches for which memory is printed.
const BATCHES: [usize; 4] = [1, 2, 4, 8];

#[derive(Serialize)]
struct InfoReport {
    model: String,
    file_bytes: usize,
    /// Tensors of each element type.
    dtypes: BTreeMap<String, usize>,
    transformer: Option<VarSettings>,
    heads_assumed: bool,
    transformer_digest: Option<String>,
    vqvae: Option<VaeSettings>,
    vqvae_digest: Option<String>,
    /// Digest of the VQVAE's source before conversion, its own where there was none.
    vqvae_source: Option<String>,
    ladder_assumed: bool,
    picture_side: Option<usize>,
    class_names: Vec<String>,
    parameters: ParameterCounts,
    takes: Option<SamplingCost>,
}

#[derive(Default, Serialize)]
struct ParameterCounts {
    transformer: usize,
    encoder: usize,
    decoder: usize,
    quantizer: usize,
    total: usize,
}

/// Cost of sampling.
#[derive(Serialize)]
struct SamplingCost {
    /// With guidance, decoding included.
    gflop_per_image: f64,
    gflop_per_image_without_guidance: f64,
    gflop_decoder: f64,
    /// Bytes besides the weights for a batch of so many images, with guidance.
    memory_bytes: BTreeMap<usize, u64>,
}

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    let model = match &options.file {
        None => options.model.open(session)?,
        Some(file) => {
            let ModelOptions { ladder, heads, part, verify, .. } = options.model.clone();
            let model = Some(file.clone());
            let given =
                ModelOptions { model, ladder, heads, part, verify, ..ModelOptions::default() };
            given.open(session)?
        }
    };
    let weights = &model.weights;
    // The figures do not depend on the device.
    let engine = session.engine_on_cpu(weights)?;
    let (file_bytes, dtypes) = files(weights);
    if options.verify {
        verify(weights)?;
    }
    let [transformer_identity, vqvae_identity] = weights.identities();
    let digest = |identity: Option<Identity>| identity.map(|known| known.digest.to_string());
    let report = InfoReport {
        model: model.name,
        file_bytes,
        dtypes,
        transformer: weights.transformer.as_ref().map(|(_, config)| config.into()),
        heads_assumed: weights.heads_assumed,
        transformer_digest: digest(transformer_identity),
        vqvae: weights.vqvae.as_ref().map(|(_, config)| config.into()),
        vqvae_digest: digest(vqvae_identity),
        vqvae_source: vqvae_identity.map(|known| known.source.to_string()),
        ladder_assumed: weights.ladder_assumed,
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
    print(&report, weights)?;
    if options.verify {
        result("verified: every tensor is the one that was written")
    } else {
        Ok(())
    }
}

/// Refuses files without a checksum, and those with other digests than their tensors have.
fn verify(weights: &Weights) -> Result<()> {
    for part in parts(weights) {
        if !part.is_verified() {
            bail!("{}: has no checksum to verify it by; `var convert` writes one", part.file());
        }
        let (kept, computed) = (part.identity().digest, part.digest());
        if kept != computed {
            let (file, kept, computed) = (part.file(), kept.short(), computed.short());
            bail!("{file}: says it is {kept}, its tensors are {computed}");
        }
    }
    Ok(())
}

/// One line for each half of a model.
pub(crate) fn configuration(weights: &Weights) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some((_, config)) = &weights.transformer {
        let assumed =
            if weights.heads_assumed { " (width / 64: the file does not say)" } else { "" };
        let shared = if config.shared_modulation { ", shared AdaLN" } else { "" };
        lines.push(format!(
            "transformer: depth {}, width {}, {}{assumed}, {}, ladder {}{shared}",
            config.depth,
            config.width,
            count(config.heads, "head"),
            count(config.classes, "class"),
            config.ladder
        ));
    }
    if let Some((_, config)) = &weights.vqvae {
        let assumed =
            if weights.ladder_assumed { " (the published one: the file does not say)" } else { "" };
        lines.push(format!(
            "VQVAE: {} of width {}, channels {} × {:?}, ladder {}{assumed}, images {} × {}",
            count(config.codes, "code"),
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

fn print(report: &InfoReport, weights: &Weights) -> Result<()> {
    let dtypes: Vec<String> =
        report.dtypes.iter().map(|(dtype, count)| format!("{count} {dtype}")).collect();
    let size = memory::text(report.file_bytes as u64);
    result(&format!("{}: {size}, tensors: {}", report.model, dtypes.join(", ")))?;
    for line in configuration(weights) {
        result(&line)?;
    }
    for (half, identity) in ["transformer", "VQVAE"].iter().zip(weights.identities()) {
        let Some(Identity { digest, source }) = identity else { continue };
        let of =
            if source == digest { String::new() } else { format!(", converted from {source}") };
        result(&format!("digest of the {half}: {digest}{of}"))?;
    }
    if !report.class_names.is_empty() {
        result(&format!("classes: {}", report.class_names.join(", ")))?;
    }
    let ParameterCounts { transformer, encoder, decoder, quantizer, total } = report.parameters;
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
    let mut parts = parts(weights);
    parts.dedup_by(|a, b| core::ptr::eq(a.checkpoint(), b.checkpoint()));
    let mut dtypes = BTreeMap::new();
    for tensor in parts.iter().flat_map(|part| part.checkpoint().tensors()) {
        *dtypes.entry(tensor.dtype.to_string()).or_default() += 1;
    }
    (parts.iter().map(|part| part.checkpoint().file_size()).sum(), dtypes)
}

fn parts(weights: &Weights) -> Vec<&ModelPart> {
    let var = weights.transformer.iter().map(|(part, _)| part);
    var.chain(weights.vqvae.iter().map(|(part, _)| part)).collect()
}

fn parameters(weights: &Weights) -> ParameterCounts {
    let mut counts = ParameterCounts::default();
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

fn takes(engine: &Engine<'_>) -> Result<SamplingCost> {
    let gflop = |multiply_adds: u64| 2.0 * multiply_adds as f64 / 1e9;
    let mut memory_bytes = BTreeMap::new();
    for batch in BATCHES {
        memory_bytes.insert(batch, memory::of_sampling(engine, batch, true)?.0);
    }
    Ok(SamplingCost {
        gflop_per_image: gflop(memory::of_sampling(engine, 1, true)?.1.multiply_adds),
        gflop_per_image_without_guidance: gflop(
            memory::of_sampling(engine, 1, false)?.1.multiply_adds,
        ),
        gflop_decoder: gflop(engine.work(Workload::Decode)?.multiply_adds),
        memory_bytes,
    })
}
