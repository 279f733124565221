//! How much memory the machine has left, and how much this process has had.

use std::fs;

use anyhow::{Result, bail};
use var_host::engine::{Engine, Workload};
use var_kernel::generate::Request;
use var_kernel::sample::{Filter, UniformSource};

/// Bytes that can be had without swapping, where the system says.
pub(crate) fn available() -> Option<u64> {
    kibibytes("/proc/meminfo", "MemAvailable:")
}

/// Bytes that can be had where `engine` computes, where they are known.
pub(crate) fn available_to(engine: &Engine<'_>) -> Option<u64> {
    #[cfg(feature = "cuda")]
    if let Some(gpu) = engine.gpu() {
        return gpu.cuda().free_and_total().ok().map(|(free, _)| free);
    }
    let _ = engine;
    available()
}

/// How many images go through the model together where `engine` computes, if nobody says and memory
/// allows: `on_cpu`, or enough to keep a GPU busy.
pub(crate) fn default_batch(engine: &Engine<'_>, on_cpu: usize) -> usize {
    if engine.is_on_gpu() { 64 } else { on_cpu }
}

/// Where `engine` computes, for people.
fn place(engine: &Engine<'_>) -> &'static str {
    if engine.is_on_gpu() { "the GPU" } else { "this machine" }
}

/// The most bytes this process has had in memory at once, where the system says.
pub(crate) fn peak_resident() -> Option<u64> {
    kibibytes("/proc/self/status", "VmHWM:")
}

/// Bytes of working memory that sampling a batch takes, and multiply-adds for it.
pub(crate) fn of_sampling(
    engine: &Engine<'_>,
    batch: usize,
    guided: bool,
) -> Result<(u64, var_host::engine::WorkloadCost)> {
    let null = engine.transformer()?.null_class();
    let (labels, indices) = (vec![if guided { 0 } else { null }; batch], vec![0; batch]);
    let request = Request {
        labels: &labels,
        indices: &indices,
        cfg: if guided { 1.0 } else { 0.0 },
        temperature: 1.0,
        filter: Filter { top_k: 0, top_p: 0.0 },
        more_smooth: false,
        source: UniformSource::Greedy,
        keep: None,
    };
    let takes = engine.work(Workload::Sample { request: &request })?;
    // Besides the kernel's memory: images as samples, of all together, then each by itself.
    let picture = 3 * engine.vqvae()?.side().pow(2) as u64;
    Ok((4 * takes.floats as u64 + batch as u64 * picture * 2, takes))
}

/// Bytes of working memory that encoding so many images together takes.
pub(crate) fn of_encoding(engine: &Engine<'_>, pictures: usize) -> Result<u64> {
    let takes = engine.work(Workload::Encode { pictures })?;
    // Besides the kernel's memory: images as samples, each by itself, then all together.
    let picture = 3 * engine.vqvae()?.side().pow(2) as u64;
    Ok(4 * takes.floats as u64 + pictures as u64 * picture * 2)
}

/// Refuses a batch for which the machine has not the memory.
pub(crate) fn check_batch(engine: &Engine<'_>, batch: usize, guided: bool) -> Result<()> {
    check(engine, batch, of_sampling(engine, batch, guided)?.0)
}

/// Refuses a batch that `wants` so many bytes, if there are not so many.
pub(crate) fn check(engine: &Engine<'_>, batch: usize, wants: u64) -> Result<()> {
    let (Some(has), place) = (available_to(engine), place(engine)) else { return Ok(()) };
    if wants <= has {
        return Ok(());
    }
    let (wants, has) = (text(wants), text(has));
    if batch == 1 {
        bail!("one image takes {wants} of memory, {place} has {has} left");
    }
    bail!("--batch {batch} takes {wants} of memory, {place} has {has} left: try a smaller one");
}

/// Refuses to learn from `batch` images in `parts` parts where there is not the memory: `working` bytes
/// of a GPU that has `free` left and holds the weights already, or else `all` bytes of this machine,
/// where memory counts when it is touched. `or` is further advice.
pub(crate) fn check_training(
    batch: u32,
    parts: u32,
    free: Option<u64>,
    working: u64,
    all: u64,
    or: &str,
) -> Result<()> {
    let (wants, has, place) = match free {
        Some(free) => (working, Some(free), "the GPU"),
        None => (all, available(), "this machine"),
    };
    match has {
        Some(has) if wants > has => bail!(
            "--bs {batch} in --ac {parts} parts takes {} of memory, {place} has {} left: learn in \
             more parts{or}",
            text(wants),
            text(has)
        ),
        _ => Ok(()),
    }
}

/// A number of bytes for people.
pub(crate) fn text(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// The number of KiB after `key` in a file of the Linux kernel's, in bytes.
fn kibibytes(file: &str, key: &str) -> Option<u64> {
    let contents = fs::read_to_string(file).ok()?;
    let line = contents.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|number| 1024 * number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        let sizes = [0, 9999, 10_000, 13_200_000, 1_700_000_000].map(text);
        assert_eq!(sizes, ["0 bytes", "9999 bytes", "10.0 kB", "13.2 MB", "1.70 GB"]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_says_how_much_there_is() {
        assert!(available().is_some_and(|bytes| bytes > 0));
        assert!(peak_resident().is_some_and(|bytes| bytes > 0));
    }
}
