//! The Debian package, around the program that the tests run: checked by lintian, and installed, upgraded, rolled back, removed and
//! purged in a fresh Debian that systemd runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::server::{BINARY, folder};

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");
/// What is told after the journey, so that none of it is left out by mistake.
const FACTS: usize = 9;

/// Where `.ci/run` keeps a fresh Debian, beyond one checkout.
fn debian() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from)?;
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
    Some(cache.join("counterfoil/bookworm")).filter(|root| root.join("usr/lib/systemd/systemd").exists())
}

fn is_there(tool: &str) -> bool {
    Command::new("sh").args(["-c", &format!("command -v {tool}")]).output().is_ok_and(|found| found.status.success())
}

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn done(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", said(&output));
}

/// The package of a version, and the same as a newer one, whose settings say something else by default.
fn pack(folder: &Path) -> PathBuf {
    let mut pack = Command::new(Path::new(REPOSITORY).join("packaging/deb/pack"));
    done(
        pack.args([BINARY])
            .arg(folder)
            .env("PACKAGE_VERSION", "0.1.0-1")
            .env("CARGO_DEB_FLAGS", "--fast --compress-system -Z gz"),
    );
    let older = folder.join("older.deb");
    fs::rename(folder.join("counterfoil_0.1.0-1_amd64.deb"), &older).unwrap();
    let newer = "dpkg-deb -R older.deb newer && sed -i 's/^Version: .*/Version: 0.2.0-1/' newer/DEBIAN/control && \
                 echo '# Something new' >> newer/etc/default/counterfoil && dpkg-deb -Zgzip -z1 -b newer newer.deb && rm -r newer";
    done(Command::new("sh").args(["-c", newer]).current_dir(folder));
    older
}

/// The commands that docs/first-install.md tells people to type, with the packages's name here.
fn first_install() -> Vec<String> {
    let page = fs::read_to_string(Path::new(REPOSITORY).join("docs/first-install.md")).unwrap();
    let typed = page.lines().filter_map(|line| line.strip_prefix("$ "));
    typed.map(|line| line.replace("./counterfoil_0.1.0-1_amd64.deb", "./older.deb")).collect()
}

/// A file that packaging/cloud-init.yml writes.
fn written_by_cloud_init(path: &str) -> String {
    let all = fs::read_to_string(Path::new(REPOSITORY).join("packaging/cloud-init.yml")).unwrap();
    let (_, entry) = all.split_once(&format!("  - path: {path}\n")).unwrap();
    let lines = entry.split_once("    content: |\n").unwrap().1.lines();
    let content = lines.take_while(|line| line.is_empty() || line.starts_with("      "));
    content.map(|line| line.get(6..).unwrap_or_default().to_owned() + "\n").collect()
}

#[test]
fn from_a_fresh_debian_to_the_first_callback_it_is_five_commands_and_no_file_edited() {
    let commands = first_install();
    assert!((3..=5).contains(&commands.len()), "{commands:?}");
    for command in commands {
        assert!(!["vi ", "nano ", "edit"].iter().any(|editor| command.contains(editor)), "{command}");
    }
}

#[test]
fn the_package_does_what_it_says_from_the_first_install_to_the_purge() {
    let root = debian().filter(|_| ["cargo-deb", "lintian", "systemd-nspawn"].into_iter().all(is_there));
    let Some(root) = root.filter(|_| rustix::process::geteuid().is_root()) else {
        assert!(
            std::env::var_os("CI").is_none(),
            "the test of the package needs cargo-deb, lintian, systemd-nspawn and a Debian root"
        );
        return eprintln!(
            "\n*** NOT TRIED: the Debian package; .ci/run installs what it takes, and only root can ***\n"
        );
    };
    let folder = folder();
    let (packages, results) = (folder.path().join("packages"), folder.path().join("results"));
    fs::create_dir_all(&packages).unwrap();
    fs::create_dir_all(&results).unwrap();
    let package = pack(&packages);
    let lintian = Command::new("lintian").args(["--allow-root", "--fail-on", "error"]).arg(package).output().unwrap();
    assert!(lintian.status.success(), "{}", said(&lintian));

    let journey = Path::new(REPOSITORY).join("tests/packaging");
    fs::copy(journey.join("journey"), packages.join("journey")).unwrap();
    fs::write(packages.join("commands"), first_install().join("\n") + "\n").unwrap();
    fs::copy(Path::new(REPOSITORY).join("packaging/cloud-init.yml"), packages.join("cloud-init.yml")).unwrap();
    fs::write(packages.join("cloud-settings"), written_by_cloud_init("/root/counterfoil.settings")).unwrap();
    fs::write(packages.join("cloud-install"), written_by_cloud_init("/root/counterfoil.install")).unwrap();
    let mut machine = Command::new("systemd-nspawn");
    machine.args([
        "--quiet",
        "--boot",
        "--volatile=overlay",
        "--private-network",
        "--register=no",
        "--keep-unit",
        "--console=pipe",
    ]);
    machine.arg("--directory").arg(root);
    machine.arg(format!("--machine=counterfoil-{}", std::process::id()));
    machine.arg(format!("--bind-ro={}:/packages", packages.display()));
    machine.arg(format!("--bind={}:/results", results.display()));
    machine.arg(format!("--bind-ro={}:/run/systemd/system/journey.service", journey.join("journey.service").display()));
    let ended = machine.args(["--", "systemd.wants=journey.service"]).output().unwrap();
    let told = fs::read_to_string(results.join("said")).unwrap_or_default();
    assert!(ended.status.success(), "{told}\n{}", said(&ended));
    assert_eq!(told.lines().filter(|line| line.starts_with("FACT ")).count(), FACTS, "{told}");
}
