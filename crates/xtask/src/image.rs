//! The images: static binaries, then `Dockerfile.*` built by buildah, as OCI archives that a node's containerd imports.
//!
//! The first stage of each Dockerfile is replaced by a local folder of the same name (`--build-context build=…`), so
//! no registry is asked; the last stage is built as written. An image is rebuilt when the hash of what goes into it
//! changes, never otherwise.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::check::cargo;
use crate::cluster::Cluster;
use crate::process::Run;
use crate::progress::Progress;
use crate::{Error, paths, preflight};

/// Binaries are linked statically for this target: the images hold nothing else.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";
const STATIC: &str = "-Ctarget-feature=+crt-static";

/// What an image is made of.
#[derive(Debug, Clone, Copy)]
struct Recipe {
    /// Cargo package, binary and name of the image.
    name: &'static str,
    /// Path in the repository.
    dockerfile: &'static str,
}

const RECIPES: [Recipe; 3] = [
    Recipe {
        name: "continuity-agent",
        dockerfile: "Dockerfile.agent",
    },
    Recipe {
        name: "continuity-operator",
        dockerfile: "Dockerfile.operator",
    },
    Recipe {
        name: "continuity-traffic",
        dockerfile: "e2e/traffic/Dockerfile",
    },
];
/// Built with the images, for the machine itself.
const TOOLS: [&str; 2] = ["continuity-cli", "continuity-inspect"];

/// An image as an OCI archive on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Full reference, for instance `localhost/continuity-agent:dev`.
    pub reference: String,
    /// The archive.
    pub archive: PathBuf,
    /// Hash of what went into it.
    pub digest: String,
}

/// Builds everything and loads it into the cluster if one is up.
pub fn run(progress: &Progress) -> Result<(), Error> {
    preflight::run(progress)?;
    let images = build_all(progress)?;
    match Cluster::attach() {
        Ok(cluster) => cluster.load_images(&images, progress),
        Err(Error::NoCluster) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Builds the binaries and the images of agent, operator and traffic; what is unchanged is left alone.
pub fn build_all(progress: &Progress) -> Result<Vec<Image>, Error> {
    binaries(progress)?;
    let step = progress.step("building the images from their Dockerfiles");
    let mut images = Vec::new();
    for recipe in RECIPES {
        step.waiting(recipe.name);
        let reference = format!("localhost/{}:dev", recipe.name);
        let context = work().join(recipe.name);
        let binary = context.join("out").join(recipe.name);
        copy_changed(&binary_path(recipe.name), &binary)?;
        images.push(build(
            &reference,
            &paths::root().join(recipe.dockerfile),
            &context,
            Some("build"),
        )?);
    }
    step.done();
    Ok(images)
}

/// The images as they were last built, whatever has changed since.
pub fn last_built() -> Result<Vec<Image>, Error> {
    let last = |recipe: &Recipe| {
        let reference = format!("localhost/{}:dev", recipe.name);
        let archive = archive_of(&reference);
        let stamp = archive.with_extension("digest");
        let digest = fs::read_to_string(&stamp).map_err(Error::file("read", &stamp))?;
        Ok(Image {
            reference,
            archive,
            digest,
        })
    };
    RECIPES.iter().map(last).collect()
}

/// A copy of an image under another tag, for upgrades.
pub fn retag(image: &Image, tag: &str) -> Result<Image, Error> {
    let name = image
        .reference
        .rsplit_once(':')
        .map_or(image.reference.as_str(), |(name, _)| name);
    let reference = format!("{name}:{tag}");
    let archive = archive_of(&reference);
    let digest = hash(&[image.digest.as_bytes().to_vec(), reference.as_bytes().to_vec()]);
    if !is_built(&archive, &digest) {
        buildah().args(["tag", &image.reference, &reference]).run()?;
        push(&reference, &archive, &digest)?;
    }
    Ok(Image {
        reference,
        archive,
        digest,
    })
}

/// The binary of a package as [`build_all`] builds it.
pub fn binary_path(name: &str) -> PathBuf {
    paths::target().join(TARGET).join("release").join(name)
}

fn binaries(progress: &Progress) -> Result<(), Error> {
    let step = progress.step("building the binaries");
    step.waiting("cargo build --release");
    let packages = RECIPES.iter().map(|recipe| recipe.name).chain(TOOLS);
    let log = work().join("cargo.log");
    make_dir(&work())?;
    cargo()
        .args(["build", "--release", "--locked", "--target", TARGET])
        .args(packages.flat_map(|name| ["--package", name]))
        .env("RUSTFLAGS", STATIC)
        .run_shown(&step, log)?;
    step.done();
    Ok(())
}

/// Builds one image from a Dockerfile; `stage` names the stage that `context` takes the place of.
pub(crate) fn build(
    reference: &str,
    file: &Path,
    context: &Path,
    stage: Option<&str>,
) -> Result<Image, Error> {
    let archive = archive_of(reference);
    let digest = fingerprint(file, context)?;
    let image = Image {
        reference: reference.to_owned(),
        archive: archive.clone(),
        digest: digest.clone(),
    };
    if is_built(&archive, &digest) {
        return Ok(image);
    }
    make_dir(&work())?;
    let mut run = buildah().args([
        "bud",
        "--isolation",
        "chroot",
        "--timestamp",
        "0",
        "--tag",
        reference,
    ]);
    if let Some(stage) = stage {
        run = run
            .arg("--build-context")
            .arg(format!("{stage}={}", context.display()));
    }
    run.arg("--file").arg(file).arg(context).run()?;
    push(reference, &archive, &digest)?;
    Ok(image)
}

fn push(reference: &str, archive: &Path, digest: &str) -> Result<(), Error> {
    // An archive that exists would be added to.
    let _ = fs::remove_file(archive);
    buildah()
        .args([
            "push",
            reference,
            &format!("oci-archive:{}:{reference}", archive.display()),
        ])
        .run()?;
    let stamp = archive.with_extension("digest");
    fs::write(&stamp, digest).map_err(Error::file("write", &stamp))
}

/// Storage of our own: no image of the machine's is seen or touched.
fn buildah() -> Run {
    let store = work().join("store");
    Run::new("buildah")
        .args(["--storage-driver", "vfs", "--root"])
        .arg(store.join("root"))
        .arg("--runroot")
        .arg(store.join("run"))
}

fn work() -> PathBuf {
    paths::target().join("images")
}

fn archive_of(reference: &str) -> PathBuf {
    let name = reference
        .rsplit('/')
        .next()
        .unwrap_or(reference)
        .replace(':', "-");
    work().join(format!("{name}.tar"))
}

fn is_built(archive: &Path, digest: &str) -> bool {
    let stamp = archive.with_extension("digest");
    archive.exists() && fs::read_to_string(stamp).is_ok_and(|known| known == digest)
}

fn make_dir(dir: &Path) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(Error::file("create", dir))
}

fn copy_changed(from: &Path, to: &Path) -> Result<(), Error> {
    if let Some(dir) = to.parent() {
        make_dir(dir)?;
    }
    fs::copy(from, to).map(drop).map_err(Error::file("copy", from))
}

/// Hash over the Dockerfile and every file of its context.
fn fingerprint(file: &Path, context: &Path) -> Result<String, Error> {
    let mut files = vec![file.to_owned()];
    collect(context, &mut files)?;
    files.sort();
    let mut hasher = Sha256::new();
    for path in files {
        hasher.update(path.to_string_lossy().as_bytes());
        let mut content = File::open(&path).map_err(Error::file("open", &path))?;
        io::copy(&mut content, &mut hasher).map_err(Error::file("read", &path))?;
    }
    Ok(hex(&hasher.finalize()))
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    for entry in fs::read_dir(dir).map_err(Error::file("read", dir))?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Hash of one file.
pub(crate) fn file_hash(path: &Path) -> Result<String, Error> {
    let mut hasher = Sha256::new();
    let mut content = File::open(path).map_err(Error::file("open", path))?;
    io::copy(&mut content, &mut hasher).map_err(Error::file("read", path))?;
    Ok(hex(&hasher.finalize()))
}

/// Hash over several pieces, each with its length, so that no two lists run together.
pub(crate) fn hash(pieces: &[Vec<u8>]) -> String {
    let mut hasher = Sha256::new();
    for piece in pieces {
        hasher.update(piece.len().to_le_bytes());
        hasher.update(piece);
    }
    hex(&hasher.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_tells_where_one_piece_ends() {
        assert_ne!(
            hash(&[b"ab".to_vec(), b"c".to_vec()]),
            hash(&[b"a".to_vec(), b"bc".to_vec()])
        );
    }

    #[test]
    fn archives_are_named_after_their_image() {
        assert!(archive_of("localhost/continuity-agent:dev").ends_with("continuity-agent-dev.tar"));
    }
}
