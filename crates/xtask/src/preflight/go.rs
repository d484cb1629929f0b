//! A Go that is new enough: the one in PATH, or the toolchain that the Go module proxy serves as a module.
//!
//! Debian 12's own Go is too old for Kubernetes and does not know how to fetch a newer one. `GOPROXY` is honoured.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::which;
use crate::process::Run;
use crate::progress::Progress;
use crate::{Error, paths};

/// The oldest Go that the modules accept, as in `e2e/cluster/go.mod`.
const OLDEST: (u32, u32) = (1, 26);
/// What is fetched where there is none.
const VERSION: &str = "1.26.8";
/// SHA-256 of the module's zip file.
const HASH: &str = "30c2b1bf7dcc88d3eb0a1364e47ddd9128edb3110a30e8a0ef61cd5856b31de7";
const PROXY: &str = "https://proxy.golang.org";

/// The `go` program to use.
pub fn go() -> Result<PathBuf, Error> {
    found().ok_or_else(|| Error::Missing {
        missing: vec![request()],
    })
}

/// What a person is asked for.
pub(super) fn request() -> String {
    format!(
        "Go {}.{} or newer in PATH: https://go.dev/dl/",
        OLDEST.0, OLDEST.1
    )
}

/// A `go` that is new enough, if there is one.
pub(super) fn found() -> Option<PathBuf> {
    let ours = toolchain().join("bin/go");
    which("go")
        .into_iter()
        .chain([ours])
        .find(|program| is_new_enough(program))
}

/// Fetches Go where there is none.
pub(super) fn provide(progress: &Progress) -> Result<(), Error> {
    if found().is_some() {
        return Ok(());
    }
    let step = progress.step(format!("fetching Go {VERSION}"));
    let dir = paths::root().join("target/go");
    fs::create_dir_all(&dir).map_err(Error::file("create", &dir))?;
    let archive = dir.join("go.zip");
    let url = format!(
        "{}/golang.org/toolchain/@v/v0.0.1-go{VERSION}.linux-amd64.zip",
        proxy()
    );
    step.waiting(&url);
    Run::new("curl")
        .args(["--fail", "--silent", "--show-error", "--location", "--output"])
        .arg(&archive)
        .arg(&url)
        .run()?;
    let sum = crate::image::file_hash(&archive)?;
    if sum != HASH {
        let what = format!("{url} has the hash {sum}, expected {HASH}");
        return Err(Error::Findings { summary: what });
    }
    step.waiting("unpacking");
    Run::new("unzip")
        .args(["-q", "-o"])
        .arg(&archive)
        .arg("-d")
        .arg(&dir)
        .run()?;
    for folder in ["bin", "pkg/tool"] {
        Run::new("chmod")
            .args(["-R", "a+x"])
            .arg(toolchain().join(folder))
            .run()?;
    }
    fs::remove_file(&archive).map_err(Error::file("remove", &archive))?;
    step.done();
    go().map(drop)
}

fn toolchain() -> PathBuf {
    paths::root().join(format!(
        "target/go/golang.org/toolchain@v0.0.1-go{VERSION}.linux-amd64"
    ))
}

/// The first proxy of `GOPROXY` that is one.
fn proxy() -> String {
    let list = env::var("GOPROXY").unwrap_or_default();
    list.split([',', '|'])
        .find(|entry| entry.starts_with("http"))
        .unwrap_or(PROXY)
        .trim_end_matches('/')
        .to_owned()
}

fn is_new_enough(program: &Path) -> bool {
    let run = Run::new(program).arg("version").env("GOTOOLCHAIN", "local");
    run.output()
        .is_ok_and(|output| parse(&String::from_utf8_lossy(&output.stdout)) >= Some(OLDEST))
}

/// Major and minor version in the output of `go version`.
fn parse(text: &str) -> Option<(u32, u32)> {
    let version = text.split(' ').nth(2)?.strip_prefix("go")?;
    let mut numbers = version.split(|sign: char| !sign.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_go_are_read() {
        assert_eq!(parse("go version go1.26.8 linux/amd64"), Some((1, 26)));
        assert_eq!(parse("go version go1.19 linux/amd64"), Some((1, 19)));
        assert_eq!(parse("go version go1.27rc1 linux/amd64"), Some((1, 27)));
        assert_eq!(parse("no go at all"), None);
    }

    #[test]
    fn the_go_of_debian_12_is_too_old() {
        assert!(parse("go version go1.19.8 linux/amd64") < Some(OLDEST));
    }
}
