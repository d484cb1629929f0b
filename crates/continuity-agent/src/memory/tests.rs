use proptest::prelude::*;

use super::*;

fn backend(id: u64, state: BackendState) -> Remembered {
    Remembered {
        id: BackendId(id),
        state,
        since_millis: 1_800_000_000_000,
        late_since: (state == BackendState::Isolated).then_some(7),
        reason: if state == BackendState::Isolated {
            "answers in 512 ms, its peers in 21 ms".to_owned()
        } else {
            String::new()
        },
    }
}

fn memory() -> Memory {
    Memory {
        regime: Regime::Crisis,
        since_millis: 1_799_999_999_000,
        reason: "p99 → 700 ms".to_owned(),
        backends: vec![
            backend(9, BackendState::Isolated),
            backend(3, BackendState::Normal),
        ],
    }
}

fn page(memory: Memory, law: &[u8]) -> Vec<u8> {
    let mut page = Vec::new();
    memory.write(law, &[], &mut page);
    page
}

fn forms<'a>(law: &'a [u8], admission: &'a [u8]) -> Forms<'a> {
    Forms { law, admission }
}

#[test]
fn what_was_written_is_read_with_the_laws_form_untouched() {
    let page = page(memory(), b"the law");
    assert_eq!(Memory::read(&page), Ok((memory(), forms(b"the law", &[]))));
}

#[test]
fn what_admission_learned_stands_behind_a_page_that_is_otherwise_the_same() {
    let without = page(memory(), b"the law");
    let mut with = Vec::new();
    memory().write(b"the law", b"levels", &mut with);
    assert_eq!(with.get(..without.len()), Some(&without[..]));
    assert_eq!(Memory::read(&with), Ok((memory(), forms(b"the law", b"levels"))));
    for cut in without.len() + 1..with.len() {
        assert!(Memory::read(&with[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn backends_make_room_for_what_admission_learned() {
    let mut large = memory();
    large.backends = (0..64).map(|id| backend(id, BackendState::Isolated)).collect();
    let mut page = Vec::new();
    large.write(&[0; 3_000], &[7; 60], &mut page);
    assert!(page.len() <= Learned::CAPACITY, "{}", page.len());
    let (_, read) = Memory::read(&page).expect("a page");
    assert_eq!(read, forms(&[0; 3_000], &[7; 60]));
}

#[test]
fn a_set_of_any_size_fits_its_page_and_the_isolated_come_first() {
    let mut large = memory();
    large.backends = (0..4_096)
        .map(|id| {
            backend(
                id,
                if id >= 4_086 {
                    BackendState::Isolated
                } else {
                    BackendState::Normal
                },
            )
        })
        .collect();
    let page = page(large, &[0; 3_000]);
    assert!(page.len() <= Learned::CAPACITY, "{}", page.len());
    let (read, forms) = Memory::read(&page).expect("a page");
    assert_eq!(forms.law.len(), 3_000);
    let isolated = read
        .backends
        .iter()
        .filter(|backend| backend.state == BackendState::Isolated)
        .count();
    assert_eq!(isolated, 10);
    assert_eq!(read.backends[0].state, BackendState::Isolated);
}

#[test]
fn a_form_of_the_law_that_leaves_no_room_is_left_out() {
    let page = page(memory(), &[0; Learned::CAPACITY]);
    assert_eq!(Memory::read(&page), Ok((memory(), forms(&[], &[]))));
}

#[test]
fn another_version_and_a_foreign_page_are_refused_with_a_sentence() {
    let mut other = page(memory(), &[]);
    other[4] = 9;
    let error = Memory::read(&other).expect_err("version 9");
    assert_eq!(error, MemoryError::Version { found: 9 });
    assert!(error.to_string().contains("version 9"), "{error}");
    // The law's bare form, as agents before this one kept it, begins with its version.
    assert_eq!(Memory::read(&1_u32.to_le_bytes()), Err(MemoryError::Mark));
    assert_eq!(Memory::read(&[]), Err(MemoryError::Mark));
}

#[test]
fn every_cut_of_a_page_is_refused() {
    let whole = page(memory(), b"the law");
    for length in 0..whole.len() {
        assert!(Memory::read(&whole[..length]).is_err(), "cut at {length}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let mut page = MARK.to_vec();
        page.extend_from_slice(&VERSION.to_le_bytes());
        page.extend_from_slice(&bytes);
        let _ = Memory::read(&page);
    }
}
