//! promtool, for the unit tests of the alerts: the one on the PATH, else Debian's, unpacked under `target/`.
//!
//! Invariant: nothing is installed. The package would start a Prometheus; only its tool is wanted.

use std::env;
use std::fs;
use std::path::PathBuf;

use crate::Error;
use crate::paths;
use crate::process::Run;

const PACKAGE: &str = "prometheus";
const PROGRAM: &str = "promtool";

/// Path of the program; fetched on first use.
///
/// # Errors
/// When the package can not be downloaded or unpacked.
pub fn path() -> Result<PathBuf, Error> {
    let on_path = env::var_os("PATH").and_then(|path| {
        env::split_paths(&path)
            .map(|folder| folder.join(PROGRAM))
            .find(|file| file.is_file())
    });
    if let Some(found) = on_path {
        return Ok(found);
    }
    let folder = paths::root().join("target/tools/prometheus");
    let program = folder.join("usr/bin").join(PROGRAM);
    if program.is_file() {
        return Ok(program);
    }
    fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
    let fetch =
        format!("apt-get download -q {PACKAGE} && dpkg-deb -x {PACKAGE}_*.deb . && rm {PACKAGE}_*.deb");
    Run::new("sh").args(["-c", &fetch]).dir(&folder).run()?;
    Ok(program)
}
