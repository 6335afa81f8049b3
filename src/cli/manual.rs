//! `counterfoil manual`: man pages, completions and the list of every flag, made of what may be typed, so that none of them drifts.

use std::fs;
use std::io;
use std::path::PathBuf;

use clap::{Arg, Args, Command};
use clap_complete::Shell;

use super::{Failure, command, tell};

const NAME: &str = "counterfoil";
/// The shells that a Debian package can have completions for.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];
const BEFORE: &str = "\
# Every flag

`counterfoil manual` makes this page of what the program knows, so change the program and not the page.
[Running it](running.md) says which flags you need.

Each flag can also stand in the environment, under the name beside it. The package's server reads `/etc/default/counterfoil`, a line
each, such as `COUNTERFOIL_KEEP_RECEIPTS=365`, and `systemctl restart counterfoil` makes it read them again. What is typed goes before
what stands in the environment. Where a flag may be given several times, its name in the environment takes all of them with commas
between, or semicolons where they are names.
";

/// Write man pages, shell completions and the list of every flag into a folder
///
/// It makes man/*.1, completions for bash, zsh and fish, and configuration.md, and replaces what is there of these names.
#[derive(Args, Debug)]
pub(super) struct Manual {
    /// The folder to write to. It is made if it does not exist
    folder: PathBuf,
}

pub(super) fn run(manual: &Manual) -> Result<(), Failure> {
    let name = manual.folder.display();
    let failed = |error| Failure::new(format!("the manual could not be written to {name}: {error}"));
    write(manual).map_err(failed)?;
    tell(&format!("The manual is in {name}."));
    Ok(())
}

fn write(Manual { folder }: &Manual) -> io::Result<()> {
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    clap_mangen::generate_to(command(), man)?;
    for shell in SHELLS {
        clap_complete::generate_to(shell, &mut listed(), NAME, &completions)?;
    }
    let mut all = command().disable_help_subcommand(true);
    all.build();
    let verbs: String = all.get_subcommands().map(chapter).collect();
    fs::write(folder.join("configuration.md"), format!("{BEFORE}{verbs}"))
}

/// Every verb that the help lists: completions would offer the others too.
fn listed() -> Command {
    let all = command();
    let verbs: Vec<Command> = all.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned().collect();
    Command::new(NAME).version(env!("CARGO_PKG_VERSION")).propagate_version(true).subcommands(verbs)
}

/// What one verb, or each of those below it, is told.
fn chapter(command: &Command) -> String {
    if command.is_hide_set() {
        return String::new();
    }
    if command.has_subcommands() {
        return command.get_subcommands().map(chapter).collect();
    }
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let rows: String = command.get_arguments().filter(|argument| !is_of_all(argument)).map(row).collect();
    format!(
        "\n## {name}\n\n{about}.\n\n| flag | in the environment | by default | what it says |\n|---|---|---|---|\n{rows}"
    )
}

/// What every verb has says nothing of one.
fn is_of_all(argument: &Arg) -> bool {
    argument.is_hide_set() || matches!(argument.get_id().as_str(), "help" | "version")
}

fn row(argument: &Arg) -> String {
    let environment = argument.get_env().map(|name| format!("`{}`", name.to_string_lossy())).unwrap_or_default();
    let defaults = argument.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy()));
    let default = match defaults.collect::<Vec<_>>().join(", ") {
        _ if argument.is_required_set() => "must be given".to_owned(),
        none if none.is_empty() || !argument.get_action().takes_values() => String::new(),
        defaults => defaults,
    };
    let said = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    format!("| `{}` | {environment} | {default} | {} |\n", typed(argument), in_a_cell(&said))
}

/// How it is typed.
fn typed(argument: &Arg) -> String {
    let values = argument.get_value_names().unwrap_or_default().iter().map(|name| format!("<{name}>"));
    let values = values.collect::<Vec<_>>().join(" ");
    match argument.get_long() {
        None => values,
        Some(long) if argument.get_action().takes_values() => format!("--{long} {values}"),
        Some(long) => format!("--{long}"),
    }
}

fn in_a_cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
