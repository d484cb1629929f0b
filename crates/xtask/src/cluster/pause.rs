//! The pause image: one static program, built by buildah like every other image.

use std::fs;

use super::layout;
use super::node::PAUSE;
use crate::image::{self, Image};
use crate::{Error, paths};

const FILE: &str = "FROM scratch\nCOPY pause /pause\nENTRYPOINT [\"/pause\"]\n";

/// The image, built if its program changed.
pub(super) fn image() -> Result<Image, Error> {
    let context = paths::cluster().join("build/pause-image");
    fs::create_dir_all(&context).map_err(Error::file("create", &context))?;
    let program = layout::bin().join("pause");
    fs::copy(&program, context.join("pause")).map_err(Error::file("copy", &program))?;
    let file = context.join("Dockerfile");
    fs::write(&file, FILE).map_err(Error::file("write", &file))?;
    image::build(PAUSE, &file, &context, None)
}
