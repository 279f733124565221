//! `var bench`: how fast this machine is, stage by stage.

mod against;
mod measure;
mod options;
mod peak;
mod report;
mod synthetic;

use anyhow::Result;
use var_host::engine::Engine;
use var_host::pool::{ProfiledThreads, Threads};
use var_kernel::cpu::SCRATCH_FLOATS;

pub(crate) use options::Options;

use crate::args::{Session, result};

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    let earlier = options.against.as_deref().map(against::read).transpose()?;
    if let Some(earlier) = &earlier {
        earlier.check(options.batch, options.cfg)?;
    }
    // The file must outlive the weights, which lie in it.
    let temporary;
    let model = match options.depth {
        None => options.model.open_whole(session)?,
        Some(depth) => {
            let sizes = synthetic::Sizes::new(depth.into(), options.model.ladder)?;
            temporary = synthetic::write(sizes, options.dtype, session)?;
            synthetic::open(&temporary, sizes, options.dtype)?
        }
    };
    let mut engine = session.engine(&model.weights)?;
    let mut profiled = None;
    if !engine.is_on_gpu() {
        let threads = ProfiledThreads::new(Threads::new(session.threads, SCRATCH_FLOATS)?);
        engine = Engine::with_workers(&model.weights, Box::new(threads.clone()), session.isa);
        profiled = Some(threads);
    }
    let times = measure::times(&mut engine, options, session)?;
    let peak = peak::of(&engine)?;
    let mut report = report::BenchReport::new(&model, &engine, options, session, &times, peak)?;
    #[cfg(feature = "cuda")]
    report.add_kernels(&measure::kernels(&mut engine, options)?);
    if let Some(threads) = &profiled {
        report.add_operations(&measure::operations(&mut engine, threads, options)?, peak);
    }
    if let Some(earlier) = &earlier {
        report.compare(earlier);
    }
    if options.json { result(&serde_json::to_string_pretty(&report)?) } else { report.print() }
}
