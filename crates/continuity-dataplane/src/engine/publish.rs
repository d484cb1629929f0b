//! Publishes a field: the inactive bank, then the word.

use std::{
    mem::offset_of,
    sync::atomic::{Ordering, fence},
};

use bytemuck::Zeroable as _;
use continuity_wire::{BANKS, Bank, Choice, NONE, Record, RecordWords, Set, Word};

use super::{Engine, GRACE, reconcile::slot_words};
use crate::{
    BackendIndex, BackendWords, Drip, Epoch, Error, Field, SetId, SetIndex, SetView, backing::Backing,
};

/// The kernel's time unit of the choice: 2^20 ns.
const KMS_SHIFT: u32 = 20;

impl<B: Backing> Engine<B> {
    pub(super) fn publish_field(&mut self, id: &SetId, field: &Field) -> Result<Epoch, Error> {
        let entry = self.entry(id)?;
        check(field, &entry.view)?;
        let (index, flipped) = (entry.view.index.0, entry.flipped);
        let backends = u32::try_from(entry.view.backends.len()).unwrap_or(u32::MAX);
        let set: Set = self.tables.sets.load(index)?;
        let word = Word(set.word);
        let active: Bank = self.tables.banks.load(bank_index(index, word))?;
        self.refuse_if_frozen(&set, &active)?;

        let grace = u64::try_from(GRACE.as_nanos()).unwrap_or(u64::MAX);
        if self.backing.now().saturating_sub(flipped) < grace {
            self.backing.grace();
        }
        self.write_backend_words(field)?;
        let next = Word::of(word.epoch() + 1);
        let bank = Bank {
            backends,
            choice: choice_words(field, &active.choice, &self.entry(id)?.view),
            slots: slot_words(field),
            ..Bank::zeroed()
        };
        let at = bank_index(index, next);
        // Epoch 0 first and the real one last: a reader that breaks the grace period finds a bank that is not its own.
        self.tables.banks.store(at, &bank)?;
        fence(Ordering::Release);
        let now = self.backing.now();
        self.tables
            .banks
            .word(at, offset_of!(Bank, published))?
            .store(now, Ordering::Relaxed);
        self.tables
            .banks
            .word(at, offset_of!(Bank, epoch))?
            .store(next.epoch(), Ordering::Release);
        self.tables
            .sets
            .word(index, offset_of!(Set, word))?
            .store(next.0, Ordering::Release);
        if let Some(entry) = self.sets.get_mut(id) {
            entry.flipped = now;
        }
        Ok(Epoch(next.epoch()))
    }

    /// In HOLD the kernel reads the last bank that came in time; a second late field would overwrite it.
    fn refuse_if_frozen(&self, set: &Set, active: &Bank) -> Result<(), Error> {
        let age = self.heartbeat_age();
        let beat = self.backing.now().saturating_sub(age);
        let late = active.published.saturating_sub(beat) >= set.hold_after && set.word != Word::UNPUBLISHED.0;
        if age >= set.hold_after && late {
            return Err(Error::Frozen {
                age_millis: age / 1_000_000,
            });
        }
        Ok(())
    }

    fn write_backend_words(&self, field: &Field) -> Result<(), Error> {
        for BackendWords {
            backend,
            shl,
            trust,
            fixed,
            off,
            pardon,
        } in &field.backends
        {
            let words = RecordWords {
                shl: *shl,
                trust: *trust,
                fixed: *fixed,
                off: u8::from(*off),
                pardon: *pardon,
            };
            let word = self.tables.records.word(backend.0, offset_of!(Record, words))?;
            word.store(bytemuck::cast(words), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Clears the memory of a backend that leaves, in whichever bank it stands.
    pub(super) fn forget_memory(&self, set: SetIndex, backend: u32) -> Result<(), Error> {
        for bank in 0..BANKS {
            let at = set.0 * BANKS + bank;
            let mut choice = self.tables.banks.load::<Bank>(at)?.choice;
            if choice.mem != backend {
                continue;
            }
            choice.mem = NONE;
            let word = self
                .tables
                .banks
                .word(at, offset_of!(Bank, choice) + offset_of!(Choice, ownm))?;
            word.store(
                bytemuck::cast([bytemuck::cast::<i32, u32>(choice.ownm), choice.mem]),
                Ordering::Relaxed,
            );
        }
        Ok(())
    }
}

fn bank_index(set: u32, word: Word) -> u32 {
    set * BANKS + word.bank()
}

fn check(field: &Field, view: &SetView) -> Result<(), Error> {
    let drip = match field.drip {
        Drip::Arm { backend, .. } => Some(backend),
        Drip::Keep | Drip::Off => None,
    };
    let named = field
        .slots
        .iter()
        .flatten()
        .chain(field.backends.iter().map(|words| &words.backend))
        .chain(&drip);
    match named
        .into_iter()
        .find(|backend| view.backend(**backend).is_none())
    {
        Some(foreign) => Err(Error::ForeignBackend {
            set: view.id,
            backend: foreign.0,
        }),
        None => Ok(()),
    }
}

/// The words of the next bank: the agent's own, and the kernel's memory and drip carried over.
fn choice_words(field: &Field, active: &Choice, view: &SetView) -> Choice {
    let off = |id: u32| {
        field
            .backends
            .iter()
            .any(|words| words.backend.0 == id && words.off)
    };
    let known = |id: u32| view.backend(BackendIndex(id)).is_some();
    let drip = match field.drip {
        Drip::Off => 0,
        Drip::Keep
            if known(
                u32::try_from(active.drip & u64::from(u32::MAX))
                    .unwrap_or(0)
                    .wrapping_sub(1),
            ) =>
        {
            active.drip
        }
        Drip::Keep => 0,
        Drip::Arm { backend, at } => {
            // The kernel's kms wrap at 32 bits and are compared by signed difference.
            let kms = (at >> KMS_SHIFT) & u64::from(u32::MAX);
            (kms << 32) | (u64::from(backend.0) + 1)
        }
    };
    Choice {
        wm: field.choice.wm,
        lm: field.choice.lm,
        ownm: field.choice.ownm,
        mem: if known(active.mem) && !off(active.mem) {
            active.mem
        } else {
            NONE
        },
        drip,
        mem_on: u8::from(field.choice.mem_on),
        reports: u8::from(field.choice.reports),
        width: field.choice.width,
        reserved: [0; 5],
    }
}
