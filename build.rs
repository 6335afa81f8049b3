//! Brings the front-end packages in, compiles the stylesheet, and embeds what browsers load, each under its content's hash.
//!
//! npm runs only when the lock file has changed, Sass only when something in `static/` has. `COUNTERFOIL_NODE_MODULES` names a
//! ready-made `node_modules` for machines without a network.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

const NODE_MODULES: &str = "COUNTERFOIL_NODE_MODULES";
/// What npm reads.
const PACKAGE_FILES: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];
/// The parts of the one script. The first says what goes for all.
const SCRIPTS: [&str; 3] = ["app.js", "live.js", "keys.js"];
/// What only services on a gov.uk domain may show.
const GOV_UK_ONLY: [&str; 5] = ["GDS Transport", "@font-face", "crest", "crown", "url("];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            println!("cargo::error={}", reason.replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={NODE_MODULES}");
    for file in PACKAGE_FILES.into_iter().chain(["app.scss", "_schemes.scss", "early.js", "icon.svg"]).chain(SCRIPTS) {
        println!("cargo::rerun-if-changed=static/{file}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo did not name OUT_DIR")?);
    let modules = node_modules(&out)?;
    let stylesheet = stylesheet(&modules)?;
    let early = read("early.js")?;
    let assets = [
        Asset::new("CSS", "app", "css", "text/css; charset=utf-8", stylesheet),
        Asset::new("JS", "app", "js", "text/javascript; charset=utf-8", script()?),
        Asset::new("ICON", "icon", "svg", "image/svg+xml", read("icon.svg")?),
    ];
    write(&out.join("assets.rs"), generated(&out, early.trim(), &assets)?.as_bytes())
}

/// What the script is made of, one behind the other.
fn script() -> Result<String, String> {
    SCRIPTS.into_iter().map(read).collect()
}

fn read(name: &str) -> Result<String, String> {
    let path = Path::new("static").join(name);
    fs::read_to_string(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

/// The front-end packages: ready-made, as they are from the last build, or from npm.
fn node_modules(out: &Path) -> Result<PathBuf, String> {
    if let Some(ready) = env::var_os(NODE_MODULES).map(PathBuf::from) {
        if ready.join("govuk-frontend").is_dir() && ready.join("sass").is_dir() {
            return Ok(ready);
        }
        return Err(format!("{NODE_MODULES} names {}, which does not hold govuk-frontend and sass", ready.display()));
    }
    let folder = out.join("packages");
    let installed = folder.join("installed");
    let lock = hash(read("package-lock.json")?.as_bytes());
    if fs::read_to_string(&installed).is_ok_and(|before| before == lock) {
        return Ok(folder.join("node_modules"));
    }
    fs::create_dir_all(&folder).map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
    for name in PACKAGE_FILES {
        write(&folder.join(name), read(name)?.as_bytes())?;
    }
    install(&folder)?;
    write(&installed, lock.as_bytes())?;
    Ok(folder.join("node_modules"))
}

fn install(folder: &Path) -> Result<(), String> {
    let npm = Command::new("npm").args(["ci", "--ignore-scripts", "--no-progress"]).current_dir(folder).output();
    let done = npm.map_err(|error| {
        format!(
            "npm could not be started ({error}). Install Node.js 20 or later with npm, or set {NODE_MODULES} to a node_modules \
             folder made by `npm ci` in static/"
        )
    })?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    let what = if said.contains("EINTEGRITY") {
        "a package does not match its hash in static/package-lock.json: do not trust it. Find out why before you go on"
    } else {
        "npm could not fetch the front-end packages. Check the network and the registry that npm is set to, or set \
         COUNTERFOIL_NODE_MODULES to a node_modules folder made by `npm ci` in static/"
    };
    Err(format!("{what}. npm said: {}", said.trim()))
}

fn stylesheet(modules: &Path) -> Result<String, String> {
    let sass = Command::new("node")
        .arg(modules.join("sass/sass.js"))
        .args(["--style=compressed", "--no-source-map", "--quiet-deps"])
        .arg(format!("--load-path={}", modules.display()))
        .arg("static/app.scss")
        .output();
    let done = sass.map_err(|error| format!("node could not be started ({error}). Install Node.js 20 or later"))?;
    if !done.status.success() {
        return Err(format!("static/app.scss does not compile: {}", String::from_utf8_lossy(&done.stderr)));
    }
    let css = String::from_utf8(done.stdout).map_err(|_| "Sass wrote bytes that are no text".to_owned())?;
    match GOV_UK_ONLY.into_iter().find(|name| css.contains(name)) {
        Some(name) => {
            Err(format!("the stylesheet holds ‘{name}’: fonts, images, crown and crest are for gov.uk domains only"))
        }
        None => Ok(css),
    }
}

struct Asset {
    name: &'static str,
    url: String,
    mime: &'static str,
    plain: Vec<u8>,
}

impl Asset {
    fn new(name: &'static str, stem: &str, extension: &str, mime: &'static str, text: String) -> Asset {
        let hash = hash(text.as_bytes());
        let hash = hash.get(..12).unwrap_or(&hash);
        Asset { name, url: format!("/assets/{stem}-{hash}.{extension}"), mime, plain: text.into_bytes() }
    }

    /// Writes the bytes, as they are and compressed, and gives the line of the table that names them.
    fn embed(&self, out: &Path) -> Result<String, String> {
        let (plain, gzip) = (out.join(format!("{}.plain", self.name)), out.join(format!("{}.gz", self.name)));
        write(&plain, &self.plain)?;
        write(&gzip, &compressed(&self.plain).map_err(|error| format!("gzip failed: {error}"))?)?;
        let quoted = |path: &Path| format!("{:?}", path.to_string_lossy());
        Ok(format!(
            "    Asset {{ url: {}_URL, mime: {:?}, plain: include_bytes!({}), gzip: include_bytes!({}) }},\n",
            self.name,
            self.mime,
            quoted(&plain),
            quoted(&gzip)
        ))
    }
}

/// What `src/web/assets.rs` includes.
fn generated(out: &Path, early: &str, assets: &[Asset; 3]) -> Result<String, String> {
    let mut code = String::new();
    let mut table = String::new();
    for asset in assets {
        let name = asset.name;
        let _ = writeln!(code, "pub(super) const {name}_URL: &str = {:?};", asset.url);
        table += &asset.embed(out)?;
    }
    let policy = format!(
        "default-src 'none'; style-src 'self'; script-src 'self' 'sha256-{}'; connect-src 'self'; img-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        BASE64_STANDARD.encode(Sha256::digest(early))
    );
    let _ = writeln!(code, "pub(super) const INLINE_SCRIPT: &str = {early:?};");
    let _ = writeln!(code, "pub(super) const CONTENT_SECURITY_POLICY: &str = {policy:?};");
    let _ = writeln!(code, "const ASSETS: [Asset; {}] = [\n{table}];", assets.len());
    Ok(code)
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn compressed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    gzip.finish()
}
