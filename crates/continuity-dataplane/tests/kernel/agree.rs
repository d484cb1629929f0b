//! The choice compiled for the kernel and natively decides alike: through the real verifier and JIT, on random cases.

use std::{env, path::Path, process::Command};

use aya::{
    EbpfLoader, TestRun as _, TestRunOptions, include_bytes_aligned, maps::Array, programs::CgroupSkb,
};

use crate::ground::Ground;

static WRAPPER: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/choice_run.bpf.o"));

const BATCH: u32 = 1 << 16;
const BATCHES: u64 = 16;
/// Clang's own name, or the one that built the programs.
const CLANG: &str = "CLANG";

/// Digests of these cases from the native build, with sanitizers on.
fn native(directory: &Path, first: u64) -> Vec<u64> {
    let binary = directory.join("agree");
    if !binary.exists() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bpf/tests/agree.c");
        let compiler = env::var(CLANG).unwrap_or_else(|_| "clang".to_owned());
        let status = Command::new(compiler)
            .args([
                "-O2",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-fsanitize=undefined",
                "-fno-sanitize-recover=all",
                "-o",
            ])
            .args([&binary, &source])
            .status();
        assert!(status.expect("run clang").success(), "build the native choice");
    }
    let output = Command::new(&binary)
        .args([first.to_string(), BATCH.to_string()])
        .output()
        .expect("run it");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
        .stdout
        .chunks_exact(8)
        .map(|bytes| u64::from_ne_bytes(bytes.try_into().unwrap()))
        .collect()
}

#[test]
fn kernel_and_native_choice_agree_on_a_million_random_cases() {
    let _ground = Ground::new();
    let directory = env::temp_dir().join(format!("continuity-agree-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let mut loader = EbpfLoader::new();
    loader.map_max_entries("digests", BATCH);
    let mut object = loader.load(WRAPPER).expect("load the wrapper");
    let program: &mut CgroupSkb = object.program_mut("ct_agree").unwrap().try_into().unwrap();
    program.load().unwrap_or_else(|error| panic!("{error}"));
    for batch in 0..BATCHES {
        let first = batch * u64::from(BATCH);
        let mut cases: Array<_, [u64; 2]> = object.map_mut("cases").unwrap().try_into().unwrap();
        cases.set(0, [first, first], 0).unwrap();
        let program: &CgroupSkb = object.program("ct_agree").unwrap().try_into().unwrap();
        let options = TestRunOptions {
            data_in: Some(&[0; 64]),
            repeat: BATCH,
            ..TestRunOptions::default()
        };
        assert_eq!(program.test_run(options).expect("run").return_value, 1);
        let digests: Array<_, u64> = object.map("digests").unwrap().try_into().unwrap();
        for (index, expected) in (0..BATCH).zip(native(&directory, first)) {
            let found = digests.get(&index, 0).unwrap();
            assert_eq!(found, expected, "case {}", first + u64::from(index));
        }
    }
    std::fs::remove_dir_all(&directory).unwrap();
}
