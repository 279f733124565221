//! The measurements.

use core::ops::ControlFlow;
use core::time::Duration;
use std::time::Instant;

use anyhow::{Result, bail};
use var_host::engine::{Engine, ImageSpec, Sampling};
use var_host::images::RgbImage;
use var_host::pool::{OperationTime, ProfiledThreads};

use super::options::Options;
use crate::args::Session;
use crate::memory;

/// Medians over the runs.
pub(super) struct Times {
    pub(super) encode: Duration,
    /// From the end of the scale before to the end of this; none where whole images are timed only.
    pub(super) scales: Vec<Duration>,
    /// From the last scale to the finished images, likewise.
    pub(super) decode: Option<Duration>,
    /// From the classes to the images.
    pub(super) whole: Duration,
}

/// Measures as often as asked for.
pub(super) fn times(
    engine: &mut Engine<'_>,
    options: &Options,
    session: &Session,
) -> Result<Times> {
    let side = engine.vqvae()?.side();
    memory::check_batch(engine, options.batch.into(), options.cfg != 0.0)?;
    let (jobs, sampling) = request(engine, options)?;
    let picture = checkered(side);

    warm_up(engine, &picture, &jobs, sampling)?;
    let mut progress = session.progress(options.runs.into(), "run");
    let (mut encodes, mut decodes, mut wholes) = (Vec::new(), Vec::new(), Vec::new());
    let mut scales = vec![Vec::new(); engine.vqvae()?.ladder.scales()];
    for _ in 0..options.runs {
        let begun = Instant::now();
        engine.encode(&picture)?;
        encodes.push(begun.elapsed());

        let begun = Instant::now();
        let mut last = begun;
        let samples = engine.sample(&jobs, sampling, None, &mut |done| {
            if options.whole {
                return ControlFlow::Continue(());
            }
            (done.wait)();
            let now = Instant::now();
            scales[done.scale].push(now - last);
            last = now;
            ControlFlow::Continue(())
        })?;
        let now = Instant::now();
        if samples.is_none() {
            bail!("sampling was broken off");
        }
        decodes.push(now - last);
        wholes.push(now - begun);
        progress.advance(1);
    }
    Ok(Times {
        encode: median(encodes),
        scales: match options.whole {
            true => Vec::new(),
            false => scales.into_iter().map(median).collect(),
        },
        decode: (!options.whole).then(|| median(decodes)),
        whole: median(wholes),
    })
}

/// The sampling request.
fn request(engine: &Engine<'_>, options: &Options) -> Result<(Vec<ImageSpec>, Sampling)> {
    let classes = engine.transformer()?.classes as u32;
    let job = |index: u32| ImageSpec { index, label: index % classes };
    let (seed, top_k, top_p, more_smooth) = (0, 900, 0.96, false);
    let sampling = Sampling { seed, cfg: options.cfg, temperature: 1.0, top_k, top_p, more_smooth };
    Ok(((0..options.batch.into()).map(job).collect(), sampling))
}

/// First runs on a GPU: kernels are compiled, then captured as graphs.
#[cfg(feature = "cuda")]
fn warm_up(
    engine: &mut Engine<'_>,
    picture: &RgbImage,
    jobs: &[ImageSpec],
    sampling: Sampling,
) -> Result<()> {
    if engine.gpu().is_some() {
        for _ in 0..3 {
            engine.encode(picture)?;
            engine.sample(jobs, sampling, None, &mut |_| ControlFlow::Continue(()))?;
        }
    }
    Ok(())
}

#[cfg(not(feature = "cuda"))]
fn warm_up(_: &mut Engine<'_>, _: &RgbImage, _: &[ImageSpec], _: Sampling) -> Result<()> {
    Ok(())
}

/// How long each kernel of sampling a batch took on the GPU, if there is one.
#[cfg(feature = "cuda")]
pub(super) fn kernels(
    engine: &mut Engine<'_>,
    options: &Options,
) -> Result<Vec<var_kernel::cuda::peak::KernelTime>> {
    if engine.gpu().is_none() {
        return Ok(Vec::new());
    }
    let (jobs, sampling) = request(engine, options)?;
    Ok(engine.profile(&jobs, sampling)?)
}

/// How long each kind of operation of sampling a batch took on the CPU.
pub(super) fn operations(
    engine: &mut Engine<'_>,
    threads: &ProfiledThreads,
    options: &Options,
) -> Result<Vec<OperationTime>> {
    let (jobs, sampling) = request(engine, options)?;
    threads.take();
    engine.sample(&jobs, sampling, None, &mut |_| ControlFlow::Continue(()))?;
    Ok(threads.take())
}

/// The middle one; of two in the middle, the shorter.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) / 2]
}

/// An image with something everywhere.
fn checkered(side: usize) -> RgbImage {
    let byte = |i: usize| ((i / 3 % side / 8 + i / 3 / side / 8) % 2 * 200 + i % 53) as u8;
    RgbImage::new(side, side, (0..3 * side * side).map(byte).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_in_the_middle() {
        let times = |seconds: &[u64]| seconds.iter().map(|s| Duration::from_secs(*s)).collect();
        assert_eq!(median(times(&[9, 1, 5])), Duration::from_secs(5));
        assert_eq!(median(times(&[9, 1])), Duration::from_secs(1));
    }
}
