//! `var completions`: command-line completion of a shell.

use std::io::{self, Write};

use anyhow::Result;
use clap::{Args, Command};
use clap_complete::Shell;

/// Print the completion script of a shell
///
/// bash: `var completions bash > ~/.local/share/bash-completion/completions/var`; zsh: into a folder of
/// `$fpath` as `_var`; fish: `var completions fish > ~/.config/fish/completions/var.fish`; PowerShell: a
/// line of `$PROFILE`, `var completions powershell | Out-String | Invoke-Expression`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The shell
    shell: Shell,
}

/// Prints the script that completes `command`, the whole program's.
pub(crate) fn run(options: &Options, mut command: Command) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut command, "var", &mut script);
    Ok(io::stdout().write_all(&script)?)
}
