//! The measurements.

use core::ops::ControlFlow;
use core::time::Duration;
use std::time::Instant;

use anyhow::{Result, bail};
use var_host::engine::{Engine, Job, Sampling};
use var_host::pictures::Picture;

use super::Options;
use crate::args::Session;
use crate::memory;

/// Medians over the runs.
pub(super) struct Times {
    pub(super) encode: Duration,
    /// From the end of the scale before to the end of this.
    pub(super) scales: Vec<Duration>,
    /// From the last scale to the finished pictures.
    pub(super) decode: Duration,
    /// From the classes to the pictures.
    pub(super) whole: Duration,
}

/// Measures as often as asked for.
pub(super) fn times(
    engine: &mut Engine<'_>,
    options: &Options,
    session: &Session,
) -> Result<Times> {
    let side = engine.vqvae()?.side();
    let classes = engine.transformer()?.classes as u32;
    let batch = usize::from(options.batch);
    memory::check_batch(engine, batch, options.cfg != 0.0)?;
    let job = |index: usize| Job { index: index as u32, label: index as u32 % classes };
    let jobs: Vec<Job> = (0..batch).map(job).collect();
    let (seed, top_k, top_p, more_smooth) = (0, 900, 0.96, false);
    let sampling = Sampling { seed, cfg: options.cfg, top_k, top_p, more_smooth };
    let picture = chequered(side);

    let mut progress = session.progress(options.runs.into(), "runs");
    let (mut encodes, mut decodes, mut wholes) = (Vec::new(), Vec::new(), Vec::new());
    let mut scales = vec![Vec::new(); engine.vqvae()?.ladder.scales()];
    for _ in 0..options.runs {
        let begun = Instant::now();
        engine.encode(&picture)?;
        encodes.push(begun.elapsed());

        let begun = Instant::now();
        let mut last = begun;
        let samples = engine.sample(&jobs, sampling, None, &mut |done| {
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
        scales: scales.into_iter().map(median).collect(),
        decode: median(decodes),
        whole: median(wholes),
    })
}

/// The middle one; of two in the middle, the shorter.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) / 2]
}

/// A picture with something everywhere.
fn chequered(side: usize) -> Picture {
    let byte = |i: usize| ((i / 3 % side / 8 + i / 3 / side / 8) % 2 * 200 + i % 53) as u8;
    Picture::new(side, side, (0..3 * side * side).map(byte).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let times = |seconds: &[u64]| seconds.iter().map(|s| Duration::from_secs(*s)).collect();
        assert_eq!(median(times(&[9, 1, 5])), Duration::from_secs(5));
        assert_eq!(median(times(&[9, 1])), Duration::from_secs(1));
    }
}
