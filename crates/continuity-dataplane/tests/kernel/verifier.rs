//! What the verifier says of each program.

use aya::{
    EbpfLoader,
    programs::{Program, ProgramInfo},
};
use continuity_dataplane::{HOOKS, OBJECT};

use crate::ground::Ground;

/// Instructions that the verifier may process for one program: a growth guard far below its own limit of 10⁶.
const BUDGET: u32 = 10_000;

fn load(program: &mut Program) -> ProgramInfo {
    match program {
        Program::CgroupSockAddr(program) => program.load(),
        Program::CgroupSkb(program) => program.load(),
        Program::CgroupSock(program) => program.load(),
        Program::SockOps(program) => program.load(),
        other => panic!("unexpected program {other:?}"),
    }
    .unwrap_or_else(|error| panic!("{error:?}"));
    program.info().expect("ask for the program")
}

#[test]
fn the_verifier_accepts_every_program_within_its_budget() {
    let _ground = Ground::new();
    let mut object = EbpfLoader::new().load(OBJECT).expect("load the object");
    let mut over = Vec::new();
    for hook in &HOOKS {
        let program = object.program_mut(hook.program).expect("the program");
        let processed = load(program)
            .verified_instruction_count()
            .expect("the kernel counts instructions");
        println!("{:14} {processed:6} instructions processed", hook.name);
        if processed > BUDGET {
            over.push((hook.name, processed));
        }
    }
    assert!(over.is_empty(), "more than {BUDGET}: {over:?}");
}
