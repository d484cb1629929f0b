//! The foreign calls. Every pointer handed over comes from a live reference, every length from its slice.
#![allow(unsafe_code, reason = "calls the native build of bpf/choice.h")]

use super::{Pod, Record, Regression, Report, Slots, Words};

unsafe extern "C" {
    fn ctn_lg(x: u32) -> i32;
    fn ctn_dz(x: i32) -> i32;
    fn ctn_exp(i: u32) -> u32;
    fn ctn_indices(cursor: u32, i: *mut u32, j: *mut u32);
    fn ctn_score(b: *const Record, c: *const Words, now: u32) -> i32;
    fn ctn_pick(
        s: *const Slots,
        c: *mut Words,
        r: *const Record,
        n: u32,
        set: u32,
        cursor: u32,
        now: u32,
    ) -> u32;
    fn ctn_prediction(b: *const Record, c: *const Words, now: u32) -> i32;
    fn ctn_on_start(b: *mut Record);
    fn ctn_on_abandon(b: *mut Record);
    fn ctn_on_answer(b: *mut Record, us: u32, now: u32);
    fn ctn_on_failure(b: *mut Record, now: u32);
    fn ctn_on_pair(b: *mut Record, said: u8, us: u32);
    fn ctn_learn(g: *mut Regression, c: *const Words, predicted: i32, us: u32);
    fn ctn_report(c: *mut Words, r: *mut Record, n: u32, id: u32, report: *const Report, now: u32);
    fn ctn_pod_request(p: *mut Pod, now: u32);
    fn ctn_pod_gone(p: *mut Pod, now: u32);
    fn ctn_pod_response(p: *mut Pod, us: u32, error: i32, now: u32);
    fn ctn_pod_report(p: *const Pod, r: *mut Report, now: u32) -> i32;
}

fn length(records: &[Record]) -> u32 {
    u32::try_from(records.len()).unwrap_or(u32::MAX)
}

/// log2 in Q8 with a linear mantissa; 0 counts as 1.
#[must_use]
pub fn lg(x: u32) -> i32 {
    // SAFETY: takes and returns plain integers.
    unsafe { ctn_lg(x) }
}

/// The dead zone of the latency part.
#[must_use]
pub fn dead_zone(x: i32) -> i32 {
    // SAFETY: takes and returns plain integers.
    unsafe { ctn_dz(x) }
}

/// `round(256 · e^(−i/16))`, 0 beyond the table.
#[must_use]
pub fn decay(i: u32) -> u32 {
    // SAFETY: takes and returns plain integers; the index is bounded in C.
    unsafe { ctn_exp(i) }
}

/// The two slots that a cursor value points at.
#[must_use]
pub fn indices(cursor: u32) -> (u32, u32) {
    let (mut i, mut j) = (0, 0);
    // SAFETY: both pointers are to live locals and are only written.
    unsafe { ctn_indices(cursor, &raw mut i, &raw mut j) };
    (i, j)
}

pub(super) fn score(record: &Record, words: &Words, now: u32) -> i32 {
    // SAFETY: both point to live values of the mirrored layout and are only read.
    unsafe { ctn_score(record, words, now) }
}

pub(super) fn pick(slots: &Slots, words: &mut Words, records: &[Record], cursor: u32, now: u32) -> u32 {
    // SAFETY: the length goes with the pointer and C checks every index against it; words is exclusive.
    unsafe { ctn_pick(slots, words, records.as_ptr(), length(records), 0, cursor, now) }
}

pub(super) fn prediction(record: &Record, words: &Words, now: u32) -> i32 {
    // SAFETY: both point to live values of the mirrored layout and are only read.
    unsafe { ctn_prediction(record, words, now) }
}

pub(super) fn on_start(record: &mut Record) {
    // SAFETY: an exclusive reference to the mirrored layout.
    unsafe { ctn_on_start(record) }
}

pub(super) fn on_abandon(record: &mut Record) {
    // SAFETY: an exclusive reference to the mirrored layout.
    unsafe { ctn_on_abandon(record) }
}

pub(super) fn on_answer(record: &mut Record, us: u32, now: u32) {
    // SAFETY: an exclusive reference to the mirrored layout.
    unsafe { ctn_on_answer(record, us, now) }
}

pub(super) fn on_failure(record: &mut Record, now: u32) {
    // SAFETY: an exclusive reference to the mirrored layout.
    unsafe { ctn_on_failure(record, now) }
}

pub(super) fn on_pair(record: &mut Record, said: u8, us: u32) {
    // SAFETY: an exclusive reference to the mirrored layout.
    unsafe { ctn_on_pair(record, said, us) }
}

pub(super) fn learn(regression: &mut Regression, words: &Words, predicted: i32, us: u32) {
    // SAFETY: distinct live values of the mirrored layouts.
    unsafe { ctn_learn(regression, words, predicted, us) }
}

pub(super) fn report(words: &mut Words, records: &mut [Record], id: u32, report: &Report, now: u32) {
    let count = length(records);
    // SAFETY: the length goes with the pointer and C checks every index against it; all references are distinct.
    unsafe { ctn_report(words, records.as_mut_ptr(), count, id, report, now) }
}

pub(super) fn pod_request(pod: &mut Pod, now: u32) {
    // SAFETY: an exclusive reference to the mirrored layout.
    unsafe { ctn_pod_request(pod, now) }
}

pub(super) fn pod_gone(pod: &mut Pod, now: u32) {
    // SAFETY: an exclusive reference to the mirrored layout.
    unsafe { ctn_pod_gone(pod, now) }
}

pub(super) fn pod_response(pod: &mut Pod, us: u32, error: bool, now: u32) {
    // SAFETY: an exclusive reference to the mirrored layout.
    unsafe { ctn_pod_response(pod, us, i32::from(error), now) }
}

pub(super) fn pod_report(pod: &Pod, now: u32) -> Option<Report> {
    let mut report = Report::default();
    // SAFETY: the pod is only read, the report is a live exclusive local.
    let said = unsafe { ctn_pod_report(pod, &raw mut report, now) };
    (said != 0).then_some(report)
}
