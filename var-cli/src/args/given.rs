//! Options that were typed, as opposed to those that have their default value.

use std::collections::BTreeSet;

use anyhow::Result;
use clap::ArgMatches;
use clap::parser::ValueSource;

use super::Usage;

/// The options that were typed, by the names of their fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct TypedOptions {
    ids: BTreeSet<String>,
    /// Options of the published trainer that decide nothing here, each with the reason.
    pub(crate) passed_over: Vec<String>,
}

impl TypedOptions {
    /// The options of the command that `matches` chose.
    pub(crate) fn new(matches: &ArgMatches, passed_over: Vec<String>) -> Self {
        let mut ids = BTreeSet::new();
        let mut next = Some(matches);
        while let Some(matches) = next {
            let typed = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
            ids.extend(matches.ids().map(|id| id.as_str()).filter(typed).map(str::to_owned));
            next = matches.subcommand().map(|(_, matches)| matches);
        }
        Self { ids, passed_over }
    }

    /// Whether the option of this field was typed.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// Refuses those of the options `ids` that were typed, for the reason `why`, if `idle`: they would
    /// decide nothing.
    ///
    /// # Errors
    /// [`Usage`] that names the option.
    pub(crate) fn refuse(&self, ids: &[&str], idle: bool, why: &str) -> Result<()> {
        match ids.iter().find(|id| idle && self.has(id)) {
            Some(id) => Err(Usage(format!("--{}: {why}", id.replace('_', "-"))).into()),
            None => Ok(()),
        }
    }
}
