//! `var man`: manual pages.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Command};
use var_host::atomic_file::AtomicFile;
use var_host::plural::count;

use crate::args::Session;
use crate::output;

/// Write the manual pages, `var.1` and one for each command, into a folder
///
/// `man -l DIR/var-sample.1` shows one; packages install them to `share/man/man1`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The folder, which exists
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Writes the pages of `root`, the whole program's.
pub(crate) fn run(options: &Options, root: &Command, session: &Session) -> Result<()> {
    let mut pages = vec![("var.1".to_owned(), clap_mangen::Man::new(root.clone()))];
    for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = format!("var-{}", command.get_name());
        // (clap asks for a name that lives as long as the program.)
        let page = command.clone().name(&*name.clone().leak()).display_name(name.clone());
        pages.push((format!("{name}.1"), clap_mangen::Man::new(page)));
    }
    // All are refused before the first is written.
    for (name, _) in &pages {
        output::check_file(&options.folder.join(name), session)?;
    }
    for (name, page) in &pages {
        let path = options.folder.join(name);
        let mut text = Vec::new();
        page.render(&mut text)?;
        let mut file = AtomicFile::create(&path, session.force)?;
        file.write_all(&text).with_context(|| format!("cannot write {}", path.display()))?;
        file.commit()?;
    }
    session.say(&format!("{}: {}", options.folder.display(), count(pages.len(), "page")))
}
