//! The Debian package, around the program that the tests run: checked by lintian, and installed, upgraded, rolled back, removed and
//! purged in a fresh Debian that systemd runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;

use crate::server::{BINARY, folder};
use crate::tls::Authority;

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");
/// What is told after the journey, so that none of it is left out by mistake.
const FACTS: usize = 18;
/// And how many of these are about a release from before.
const OF_BEFORE: usize = 2;

/// What `.ci/run` keeps beyond one checkout.
fn cached(name: &str) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from)?;
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
    Some(cache.join("counterfoil").join(name)).filter(|cached| cached.exists())
}

/// A fresh Debian.
fn debian() -> Option<PathBuf> {
    cached("bookworm").filter(|root| root.join("usr/lib/systemd/systemd").exists())
}

/// The package of a release from before the newest migrations, as `tests/packaging/before` makes it of the project's history.
fn before() -> Option<PathBuf> {
    let script = fs::read_to_string(Path::new(REPOSITORY).join("tests/packaging/before")).unwrap();
    let commit = script.lines().find_map(|line| line.strip_prefix("commit=")).unwrap();
    cached(&format!("before-{commit}.deb"))
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

/// The commands that docs/first-install.md tells people to type, with a certificate of its own and behind a proxy, with the package's
/// name here.
fn first_install() -> [Vec<String>; 2] {
    let page = fs::read_to_string(Path::new(REPOSITORY).join("docs/first-install.md")).unwrap();
    let (own, proxy) = page.split_once("\n## Behind a proxy\n").unwrap();
    [own, proxy].map(|part| {
        let typed = part.lines().filter_map(|line| line.strip_prefix("$ "));
        typed.map(|line| line.replace("./counterfoil_0.1.0-1_amd64.deb", "./older.deb")).collect()
    })
}

/// The commands that a page has people type below a heading, each on a line.
fn recipe(page: &str, heading: &str) -> Vec<String> {
    let page = fs::read_to_string(Path::new(REPOSITORY).join("docs").join(page)).unwrap();
    let (_, below) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = below.split("\n## ").next().unwrap().replace("\\\n", "");
    let fenced = section.split("```").skip(1).step_by(2);
    let lines = fenced.flat_map(|block| block.lines().skip(1).map(|line| line.trim().to_owned()));
    lines.filter(|line| !line.is_empty()).collect()
}

/// What is typed when something is wrong, and for backups and a certificate of one's own, by the names that the journey has for it.
fn recipes() -> [(&'static str, Vec<String>); 5] {
    let mut stop = recipe("operations.md", "Stop and start it");
    let start = stop.split_off(stop.iter().position(|command| command.contains("unmask")).unwrap());
    let mut backups = recipe("operations.md", "Back up and restore");
    let restore = backups.split_off(backups.iter().position(|command| command.starts_with("sudo mv ")).unwrap());
    let restore = restore.iter().map(|command| command.replace(" FILE ", " /root/backup.db ")).collect();
    [
        ("commands-stop", stop),
        ("commands-start", start),
        ("commands-backups", backups),
        ("commands-restore", restore),
        ("commands-certificate", recipe("running.md", "TLS")),
    ]
}

/// An authority for certificates within the machine.
fn pebble(folder: &Path) {
    let authority = Authority::new();
    let (chain, key) = authority.pair("localhost", 30);
    let config = json!({"pebble": {
        "listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000", "httpPort": 1, "tlsPort": 443,
        "certificate": "/packages/pebble/chain.pem", "privateKey": "/packages/pebble/key.pem", "certificateValidityPeriod": 86_400,
    }});
    fs::create_dir(folder).unwrap();
    let files =
        [("chain.pem", chain), ("key.pem", key), ("root.pem", authority.root), ("config.json", config.to_string())];
    for (name, content) in files {
        fs::write(folder.join(name), content).unwrap();
    }
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
    for commands in first_install() {
        assert!((3..=5).contains(&commands.len()), "{commands:?}");
        for command in commands {
            assert!(!["vi ", "nano ", "edit"].iter().any(|editor| command.contains(editor)), "{command}");
        }
    }
}

#[test]
fn the_package_does_what_it_says_from_the_first_install_to_the_purge() {
    let root = debian().filter(|_| ["cargo-deb", "lintian", "systemd-nspawn", "pebble"].into_iter().all(is_there));
    let Some(root) = root.filter(|_| rustix::process::geteuid().is_root()) else {
        assert!(
            std::env::var_os("CI").is_none(),
            "the test of the package needs cargo-deb, lintian, systemd-nspawn, pebble and a Debian root"
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
    let before = before();
    if let Some(before) = &before {
        fs::copy(before, packages.join("before.deb")).unwrap();
    } else {
        eprintln!(
            "\n*** NOT TRIED: an upgrade and a roll back over a change of the store. tests/packaging/before makes the package for it, \
             of the project's history ***\n"
        );
    }
    for file in ["journey", "ask"] {
        fs::copy(journey.join(file), packages.join(file)).unwrap();
    }
    for (file, commands) in ["commands", "commands-behind-a-proxy"].into_iter().zip(first_install()) {
        fs::write(packages.join(file), commands.join("\n") + "\n").unwrap();
    }
    for (file, commands) in recipes() {
        fs::write(packages.join(file), commands.join("\n") + "\n").unwrap();
    }
    pebble(&packages.join("pebble"));
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
    machine.args(["--bind-ro=/usr/bin/pebble", "--bind-ro=/usr/bin/pebble-challtestsrv"]);
    let ended = machine.args(["--", "systemd.wants=journey.service"]).output().unwrap();
    let told = fs::read_to_string(results.join("said")).unwrap_or_default();
    assert!(ended.status.success(), "{told}\n{}", said(&ended));
    let facts = if before.is_some() { FACTS } else { FACTS - OF_BEFORE };
    assert_eq!(told.lines().filter(|line| line.starts_with("FACT ")).count(), facts, "{told}");
}
