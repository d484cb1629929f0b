//! Compiles `bpf/continuity.bpf.c` and the test-run wrapper with clang; the crate embeds the objects.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

const OBJECTS: [(&str, &str); 2] = [
    ("continuity.bpf.c", "continuity.bpf.o"),
    ("tests/choice_run.bpf.c", "choice_run.bpf.o"),
];

fn main() -> ExitCode {
    let Some((manifest, out)) = env::var_os("CARGO_MANIFEST_DIR").zip(env::var_os("OUT_DIR")) else {
        return fail("cargo sets CARGO_MANIFEST_DIR and OUT_DIR; run this through cargo");
    };
    let sources = PathBuf::from(manifest).join("../../bpf");
    println!("cargo::rerun-if-changed={}", sources.display());
    println!("cargo::rerun-if-env-changed=CLANG");
    let clang = env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    for (source, object) in OBJECTS {
        let object = PathBuf::from(&out).join(object);
        let mut command = Command::new(&clang);
        command.args([
            "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-target", "bpf", "-mcpu=v3",
        ]);
        command.arg(format!("-ffile-prefix-map={}=bpf", sources.display()));
        for include in multiarch() {
            command.arg("-idirafter").arg(include);
        }
        command
            .arg("-I")
            .arg(&sources)
            .arg("-c")
            .arg(sources.join(source))
            .arg("-o")
            .arg(&object);
        match command.status() {
            Ok(status) if status.success() => strip(&object),
            Ok(status) => return fail(&format!("clang ended with {status} on bpf/{source}")),
            Err(error) => {
                return fail(&format!(
                    "cannot run {}: {error}. Install clang (>= 14) and libbpf-dev, or point CLANG at one",
                    clang.display()
                ));
            }
        }
    }
    ExitCode::SUCCESS
}

/// Debian keeps `asm/types.h` beside the architecture, where clang's BPF target does not look.
fn multiarch() -> impl Iterator<Item = PathBuf> {
    let arch = env::consts::ARCH;
    [format!("/usr/include/{arch}-linux-gnu")]
        .into_iter()
        .map(PathBuf::from)
        .filter(|path| path.is_dir())
}

/// Drops DWARF, keeps BTF. Without llvm-strip the object is only larger.
fn strip(object: &Path) {
    let stripped = Command::new("llvm-strip").arg("-g").arg(object).status();
    let size = fs::metadata(object).map_or(0, |metadata| metadata.len());
    if !stripped.is_ok_and(|status| status.success()) {
        println!(
            "cargo::warning=llvm-strip is not there: {} keeps its debug sections ({size} bytes)",
            object.display()
        );
    }
}

fn fail(message: &str) -> ExitCode {
    println!("cargo::error={message}");
    ExitCode::FAILURE
}
