//! `var bench`: how fast this machine is, stage by stage.

mod measure;
mod options;
mod peak;
mod report;
mod synthetic;

use anyhow::Result;

pub(crate) use options::Options;

use crate::args::{Session, result};

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
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
    let times = measure::times(&mut engine, options, session)?;
    let peak = peak::of(&engine, session)?;
    #[cfg_attr(not(feature = "cuda"), allow(unused_mut, reason = "no card has kernels"))]
    let mut report = report::BenchReport::new(&model, &engine, options, session, &times, peak)?;
    #[cfg(feature = "cuda")]
    report.add_kernels(&measure::kernels(&mut engine, options)?);
    if options.json { result(&serde_json::to_string_pretty(&report)?) } else { report.print() }
}
