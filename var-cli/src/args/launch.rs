//! The launcher that started this process as one of several, if any counts.

use var_host::parallel::Launch;

use super::Usage;

/// The launch of the environment, or one process `alone`.
pub(super) fn read(alone: bool) -> Result<Launch, Usage> {
    if alone {
        return Ok(Launch::ALONE);
    }
    let launch = Launch::from_environment();
    launch.map_err(|error| Usage(format!("{error}; --alone is one process whatever it says")))
}
