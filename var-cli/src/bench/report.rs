//! Measurements as text and as JSON.

use core::time::Duration;

use anyhow::Result;
use serde::Serialize;
use var_host::engine::{Engine, Workload};
use var_host::model::Weights;
use var_host::model::weights::transformer_tensors;
use var_host::plural::count;

use super::measure::Times;
use super::options::Options;
use super::peak::Peak;
use crate::args::{Model, Session, result};
use crate::memory;

#[derive(Serialize)]
pub(super) struct BenchReport {
    version: &'static str,
    model: String,
    threads: usize,
    isa: &'static str,
    batch: u16,
    cfg: f32,
    runs: u16,
    /// The device: the CPU's instruction set and threads, or the GPU and its precision.
    device: String,
    peak_gflops: f64,
    /// Of a card's memory.
    peak_gb_per_s: Option<f64>,
    /// Encoding one image; then the batch: transformer, decoding, both.
    stages: Vec<Stage>,
    scales: Vec<Stage>,
    /// On a card: each kernel of sampling the batch, the longest first.
    kernels: Vec<KernelShare>,
    /// Bytes of the transformer's matrices as stored, which scale 0 must read.
    transformer_bytes: u64,
    /// These bytes over the time of scale 0, if it was timed.
    scale_0_gb_per_s: Option<f64>,
    /// Weights in their files included, which are mapped.
    peak_resident_bytes: Option<u64>,
    file_bytes: u64,
}

/// A kernel's share of sampling a batch.
#[derive(Serialize)]
struct KernelShare {
    kernel: String,
    runs: usize,
    seconds: f64,
    share: f64,
}

#[derive(Serialize)]
struct Stage {
    stage: String,
    seconds: f64,
    gflop: f64,
    gflops: f64,
    share_of_peak: f64,
}

impl BenchReport {
    pub(super) fn new(
        model: &Model,
        engine: &Engine<'_>,
        options: &Options,
        session: &Session,
        times: &Times,
        peak: Peak,
    ) -> Result<Self> {
        let batch = usize::from(options.batch);
        let (_, takes) = memory::of_sampling(engine, batch, options.cfg != 0.0)?;
        let transformer = takes.scales.iter().sum();
        let stage = |stage: &str, time: Duration, multiply_adds: u64| {
            let (seconds, gflop) = (time.as_secs_f64(), 2.0 * multiply_adds as f64 / 1e9);
            let gflops = gflop / seconds.max(1e-9);
            let share_of_peak = gflops / peak.gflops;
            Stage { stage: stage.to_owned(), seconds, gflop, gflops, share_of_peak }
        };
        let encode = engine.work(Workload::Encode { pictures: 1 })?.multiply_adds;
        let mut stages = vec![stage("encode", times.encode, encode)];
        if let Some(time) = times.decode {
            stages.push(stage("transformer", times.scales.iter().sum(), transformer));
            stages.push(stage("decode", time, takes.multiply_adds - transformer));
        }
        stages.push(stage("whole image", times.whole, takes.multiply_adds));
        let sides = engine.vqvae()?.ladder;
        let of_scale = |(scale, (time, multiply_adds)): (usize, (&Duration, &u64))| {
            let side = sides.sides()[scale];
            stage(&format!("scale {scale}: {side} × {side}"), *time, *multiply_adds)
        };
        let scales = times.scales.iter().zip(&takes.scales).enumerate().map(of_scale).collect();
        let transformer_bytes = transformer_bytes(&model.weights);
        let first = times.scales.first().map(|time| time.as_secs_f64().max(1e-9));
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            model: model.name.clone(),
            threads: session.threads,
            isa: session.isa.name(),
            batch: options.batch,
            cfg: options.cfg,
            runs: options.runs,
            device: device(engine, session),
            peak_gflops: peak.gflops,
            peak_gb_per_s: peak.gb_per_s,
            stages,
            scales,
            kernels: Vec::new(),
            transformer_bytes,
            scale_0_gb_per_s: first.map(|seconds| transformer_bytes as f64 / seconds / 1e9),
            peak_resident_bytes: memory::peak_resident(),
            file_bytes: crate::info::files(&model.weights).0 as u64,
        })
    }

    /// Adds each kernel's share of the card's time.
    #[cfg(feature = "cuda")]
    pub(super) fn add_kernels(&mut self, times: &[var_kernel::cuda::peak::KernelTime]) {
        let all: f64 = times.iter().map(|time| time.milliseconds).sum();
        let share = |time: &var_kernel::cuda::peak::KernelTime| KernelShare {
            kernel: time.name.to_owned(),
            runs: time.count,
            seconds: 1e-3 * time.milliseconds,
            share: time.milliseconds / all,
        };
        self.kernels = times.iter().map(share).collect();
    }

    pub(super) fn print(&self) -> Result<()> {
        let Self { model, device, batch, cfg, runs, peak_gflops, .. } = self;
        result(&format!(
            "{model}: batch {batch}, cfg {cfg}, {device}, median of {}",
            count(*runs, "run")
        ))?;
        let memory = self.peak_gb_per_s.map(|peak| format!(", {peak:.0} GB/s"));
        let memory = memory.unwrap_or_default();
        result(&format!("peak of the machine: {peak_gflops:.1} GFLOP/s{memory}"))?;
        result(&format!(
            "{:<18} {:>10} {:>10} {:>10} {:>8}",
            "stage", "ms", "GFLOP", "GFLOP/s", "of peak"
        ))?;
        let (before, after) = self.stages.split_at(1);
        for Stage { stage, seconds, gflop, gflops, share_of_peak } in
            before.iter().chain(&self.scales).chain(after)
        {
            let (milliseconds, share) = (1e3 * seconds, 100.0 * share_of_peak);
            result(&format!(
                "{stage:<18} {milliseconds:>10.2} {gflop:>10.2} {gflops:>10.1} {share:>6.1} %"
            ))?;
        }
        if let Some(speed) = self.scale_0_gb_per_s {
            let bytes = memory::text(self.transformer_bytes);
            result(&format!("scale 0 reads the transformer's {bytes} at {speed:.1} GB/s"))?;
        }
        for KernelShare { kernel, runs, seconds, share } in &self.kernels {
            let (milliseconds, share) = (1e3 * seconds, 100.0 * share);
            result(&format!("{kernel:<32} {runs:>6} × {milliseconds:>9.3} ms {share:>6.1} %"))?;
        }
        let Some(peak) = self.peak_resident_bytes else { return Ok(()) };
        let (peak, files) = (memory::text(peak), memory::text(self.file_bytes));
        result(&format!("peak memory: {peak}, the model's files of {files} included"))
    }
}

/// The device as text.
fn device(engine: &Engine<'_>, session: &Session) -> String {
    #[cfg(feature = "cuda")]
    if let Some(card) = engine.card() {
        let library = card.cuda().library();
        let products = library.unwrap_or_else(|| "own products".to_owned());
        return format!("{}, {}, {products}", card.properties().name, card.cuda().precision());
    }
    let _ = engine;
    format!("{}, {}", count(session.threads, "thread"), session.isa.name())
}

/// Bytes of the transformer's matrices as they are stored.
fn transformer_bytes(weights: &Weights) -> u64 {
    let Some((part, config)) = &weights.transformer else { return 0 };
    let matrices = transformer_tensors(*config).into_iter().filter(|wanted| wanted.matrix);
    let bytes = matrices.filter_map(|wanted| Some(part.tensor(&wanted.name)?.bytes.len() as u64));
    bytes.sum()
}
