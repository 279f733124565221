//! Measurements as text and as JSON.

use core::time::Duration;

use anyhow::Result;
use serde::Serialize;
use var_host::engine::{Engine, Workload};
use var_host::model::Weights;
use var_host::model::weights::transformer_tensors;
use var_host::plural::count;
use var_host::pool::OperationTime;

use super::against::EarlierReport;
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
    /// Of a copy of memory, read and written.
    peak_gb_per_s: f64,
    /// Encoding one image; then the batch: transformer, decoding, both.
    stages: Vec<Stage>,
    scales: Vec<Stage>,
    /// On the CPU: each kind of operation of sampling the batch, the longest first.
    operations: Vec<OperationShare>,
    /// The earlier report's model and device.
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<String>,
    /// Beside it: time over its time, by stage.
    ratios: Vec<StageRatio>,
    /// On a GPU: each kernel of sampling the batch, the longest first.
    kernels: Vec<KernelShare>,
    /// Bytes of the transformer's matrices as stored, which scale 0 must read.
    transformer_bytes: u64,
    /// These bytes over the time of scale 0, if it was timed.
    scale_0_gb_per_s: Option<f64>,
    /// Weights in their files included, which are mapped.
    peak_resident_bytes: Option<u64>,
    file_bytes: u64,
}

/// The share of sampling a batch that operations of one kind have.
#[derive(Serialize)]
struct OperationShare {
    operation: &'static str,
    runs: usize,
    seconds: f64,
    share: f64,
    /// By the formulas.
    gflops: f64,
    share_of_peak: f64,
    /// Operands and results, each once.
    gb_per_s: f64,
}

/// A stage's time beside that of an earlier report.
#[derive(Serialize)]
struct StageRatio {
    stage: String,
    seconds: f64,
    earlier: f64,
    ratio: f64,
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
            operations: Vec::new(),
            against: None,
            ratios: Vec::new(),
            kernels: Vec::new(),
            transformer_bytes,
            scale_0_gb_per_s: first.map(|seconds| transformer_bytes as f64 / seconds / 1e9),
            peak_resident_bytes: memory::peak_resident(),
            file_bytes: crate::info::files(&model.weights).0 as u64,
        })
    }

    /// Adds each kind of operation's share of the CPU's time.
    pub(super) fn add_operations(&mut self, times: &[OperationTime], peak: Peak) {
        let all: f64 = times.iter().map(|time| time.seconds).sum();
        let share = |time: &OperationTime| {
            let seconds = time.seconds.max(1e-9);
            let gflops = 2e-9 * time.multiply_adds as f64 / seconds;
            OperationShare {
                operation: time.name,
                runs: time.count,
                seconds: time.seconds,
                share: time.seconds / all,
                gflops,
                share_of_peak: gflops / peak.gflops,
                gb_per_s: 1e-9 * time.bytes as f64 / seconds,
            }
        };
        self.operations = times.iter().map(share).collect();
    }

    /// Adds each stage's time over that of `earlier`.
    pub(super) fn compare(&mut self, earlier: &EarlierReport) {
        let ratio = |stage: &Stage| {
            let seconds = earlier.seconds(&stage.stage)?;
            let ratio = stage.seconds / seconds;
            Some(StageRatio {
                stage: stage.stage.clone(),
                seconds: stage.seconds,
                earlier: seconds,
                ratio,
            })
        };
        self.against = Some(earlier.title());
        self.ratios = self.stages.iter().chain(&self.scales).filter_map(ratio).collect();
    }

    /// Adds each kernel's share of the GPU's time.
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
        let memory = self.peak_gb_per_s;
        result(&format!("peak of the machine: {peak_gflops:.1} GFLOP/s, {memory:.1} GB/s copied"))?;
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
        self.print_operations()?;
        if let Some(earlier) = &self.against {
            result(&format!("beside {earlier}:"))?;
        }
        for StageRatio { stage, seconds, earlier, ratio } in &self.ratios {
            let (now, then) = (1e3 * seconds, 1e3 * earlier);
            result(&format!("{stage:<18} {now:>10.2} ms, before {then:>10.2} ms: {ratio:.3}"))?;
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

impl BenchReport {
    fn print_operations(&self) -> Result<()> {
        for share in &self.operations {
            let OperationShare { operation, runs, seconds, gflops, gb_per_s, .. } = share;
            let (milliseconds, percent) = (1e3 * seconds, 100.0 * share.share);
            let speed = match gflops {
                0.0 => format!("{gb_per_s:>7.1} GB/s"),
                _ => {
                    format!("{gflops:>7.1} GFLOP/s {:>6.1} % of peak", 100.0 * share.share_of_peak)
                }
            };
            result(&format!(
                "{operation:<16} {runs:>6} × {milliseconds:>10.2} ms {percent:>5.1} % {speed}"
            ))?;
        }
        Ok(())
    }
}

/// The device as text.
fn device(engine: &Engine<'_>, session: &Session) -> String {
    #[cfg(feature = "cuda")]
    if let Some(gpu) = engine.gpu() {
        let library = gpu.cuda().library();
        let products = library.unwrap_or_else(|| "own products".to_owned());
        return format!("{}, {}, {products}", gpu.properties().name, gpu.cuda().precision());
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
