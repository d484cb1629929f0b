//! Builds `bpf/choice.h` natively, so that the wind tunnel runs the kernel's own choice.

fn main() {
    println!("cargo:rerun-if-changed=native/choice.c");
    println!("cargo:rerun-if-changed=../../bpf/choice.h");
    println!("cargo:rerun-if-changed=../../bpf/choice_table.h");
    println!("cargo:rerun-if-changed=../../bpf/report.h");
    cc::Build::new()
        .file("native/choice.c")
        .include("../../bpf")
        .opt_level(2)
        .warnings(true)
        .extra_warnings(true)
        .warnings_into_errors(true)
        .compile("continuity_choice");
}
