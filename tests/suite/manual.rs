//! Man pages, completions and the list of every flag: made by the program, of what may be typed.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::server::{BINARY, folder};

/// The manual, made in this folder.
fn make(folder: &Path) {
    let made = Command::new(BINARY).arg("manual").arg(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// What a tool says of a file; nothing where it is not there and nobody insists.
fn checked(tool: &str, arguments: &[&str], file: &Path) -> Option<Output> {
    if let Ok(output) = Command::new(tool).args(arguments).arg(file).output() {
        return Some(output);
    }
    assert!(std::env::var_os("CI").is_none(), "the test of the manual needs {tool}");
    eprintln!("\n*** NOT TRIED: {}, because there is no {tool} ***\n", file.display());
    None
}

#[test]
fn the_page_of_every_flag_is_what_the_program_says() {
    let folder = folder();
    make(folder.path());
    let made = fs::read_to_string(folder.path().join("configuration.md")).unwrap();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let kept = fs::read_to_string(docs).unwrap_or_default();
    let how = "cargo run -- manual target/manual && cp target/manual/configuration.md docs/";
    assert!(made == kept, "docs/configuration.md is not what the program says. Make it again: {how}");
    for said in [
        "## counterfoil serve",
        "## counterfoil token add",
        "| `--keep-receipts <DAYS>` | `COUNTERFOIL_KEEP_RECEIPTS` | `730` |",
    ] {
        assert!(made.contains(said), "{said}");
    }
    assert!(!made.contains("counterfoil manual <"), "what only a build needs is not listed");
}

#[test]
fn each_verb_has_a_man_page_that_man_reads_with_every_flag() {
    let folder = folder();
    make(folder.path());
    let pages = folder.path().join("man");
    let all = fs::read_to_string(folder.path().join("configuration.md")).unwrap();
    let chapters: Vec<_> = all.split("\n## ").skip(1).collect();
    assert!(chapters.len() > 20);
    for chapter in chapters {
        let verb = chapter.lines().next().unwrap();
        let page = fs::read_to_string(pages.join(verb.replace(' ', "-") + ".1")).unwrap().replace('\\', "");
        for line in chapter.lines().filter(|line| line.starts_with("| `--")) {
            let flag = line.trim_start_matches("| `").split([' ', '`']).next().unwrap();
            assert!(page.contains(flag), "{verb}: {flag}");
        }
    }
    assert!(!pages.join("counterfoil-manual.1").exists(), "what only a build needs has no page");
    for page in fs::read_dir(pages).unwrap().map(|page| page.unwrap().path()) {
        if let Some(linted) = checked("mandoc", &["-T", "lint", "-W", "error"], &page) {
            assert!(linted.status.success(), "{}", String::from_utf8_lossy(&linted.stdout));
        }
    }
}

#[test]
fn each_shell_reads_its_completions_and_completes_verbs_with_them() {
    let folder = folder();
    make(folder.path());
    let completions = folder.path().join("completions");
    for (shell, file) in [("bash", "counterfoil.bash"), ("zsh", "_counterfoil"), ("fish", "counterfoil.fish")] {
        if let Some(read) = checked(shell, &["-n"], &completions.join(file)) {
            assert!(read.status.success(), "{shell}: {}", String::from_utf8_lossy(&read.stderr));
        }
        let offered = fs::read_to_string(completions.join(file)).unwrap();
        assert!(offered.contains("doctor") && !offered.contains("manual"), "{shell} offers what no help lists");
    }
    let ask = "COMP_WORDS=(counterfoil tok); COMP_CWORD=1; . \"$0\"; _counterfoil counterfoil tok counterfoil; echo \"${COMPREPLY[@]}\"";
    let asked = checked("bash", &["-c", ask], &completions.join("counterfoil.bash")).unwrap();
    assert_eq!(String::from_utf8_lossy(&asked.stdout).trim(), "token");
}
