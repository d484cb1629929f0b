//! Memory of one array map, as 64-bit words that the kernel may change at any moment.
//!
//! Why it exists: reading and publishing make no system call. The words are mapped on first use, in segments of
//! 256 KiB, so that a node with ten backends does not carry the resident memory of eight thousand. The twin's words
//! are on the heap.
//!
//! Invariant: every access is an atomic access to a whole word; a struct is read word by word and can be torn between
//! words, never inside one.

use std::{
    os::fd::{AsRawFd as _, OwnedFd},
    path::PathBuf,
    ptr::NonNull,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use bytemuck::{Pod, Zeroable};

use crate::Error;

/// Target size of a segment. A stride that divides it (all that are powers of two) is mapped in segments, any other
/// array in one piece.
const SEGMENT_BYTES: usize = 256 * 1024;

/// Where the words come from.
pub(crate) enum Source {
    /// The twin.
    Heap,
    /// A map created with `BPF_F_MMAPABLE`.
    Map(OwnedFd),
}

/// Where the records of one kind lie in the elements of a map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Size of an element in bytes, a multiple of 8.
    stride: usize,
    /// Where its first record of the kind begins.
    offset: usize,
    /// Size of such a record.
    size: usize,
    /// How many of them an element has.
    each: u32,
}

impl Shape {
    /// An element is the record.
    pub(crate) const fn whole(size: usize) -> Self {
        Self::part(size, 0, size, 1)
    }

    /// `each` records of `size` bytes from `offset` on, in elements of `stride` bytes.
    pub(crate) const fn part(stride: usize, offset: usize, size: usize, each: u32) -> Self {
        Self {
            stride,
            offset,
            size,
            each,
        }
    }
}

/// The records of one kind in an array map.
pub(crate) struct Region {
    name: &'static str,
    shape: Shape,
    entries: u32,
    per_segment: u32,
    segments: Box<[OnceLock<Words>]>,
    source: Source,
}

impl Region {
    /// The records of a map of `entries` elements.
    pub(crate) fn new(name: &'static str, shape: Shape, entries: u32, source: Source) -> Self {
        let stride = shape.stride;
        let whole = !SEGMENT_BYTES.is_multiple_of(stride);
        let per_segment = if whole {
            entries
        } else {
            u32::try_from(SEGMENT_BYTES / stride).unwrap_or(entries)
        }
        .max(1);
        let count = usize::try_from(entries.div_ceil(per_segment)).unwrap_or(0);
        let segments = (0..count).map(|_| OnceLock::new()).collect();
        Self {
            name,
            shape,
            entries,
            per_segment,
            segments,
            source,
        }
    }

    /// Number of elements.
    pub(crate) fn entries(&self) -> u32 {
        self.entries
    }

    /// Words of one record.
    pub(crate) fn words(&self, index: u32) -> Result<&[AtomicU64], Error> {
        let out_of_range = || Error::OutOfRange {
            map: self.name,
            index,
        };
        let Shape {
            stride,
            offset,
            size,
            each,
        } = self.shape;
        let (element, part) = (index / each, index % each);
        if element >= self.entries {
            return Err(out_of_range());
        }
        let (segment, within) = (element / self.per_segment, element % self.per_segment);
        let words = self
            .segment(segment)
            .and_then(|found| found.ok_or_else(out_of_range))?;
        let bytes =
            |count: u32, size: usize| usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(size);
        let start = (bytes(within, stride) + offset + bytes(part, size)) / 8;
        words
            .as_slice()
            .get(start..start + size / 8)
            .ok_or_else(out_of_range)
    }

    /// One word of an element.
    pub(crate) fn word(&self, index: u32, byte_offset: usize) -> Result<&AtomicU64, Error> {
        self.words(index)?.get(byte_offset / 8).ok_or(Error::OutOfRange {
            map: self.name,
            index,
        })
    }

    /// Reads an element.
    pub(crate) fn load<T: Pod>(&self, index: u32) -> Result<T, Error> {
        let mut value = T::zeroed();
        let bytes = bytemuck::bytes_of_mut(&mut value);
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(self.words(index)?) {
            chunk.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        Ok(value)
    }

    /// Writes an element, word by word in address order.
    pub(crate) fn store<T: Pod>(&self, index: u32, value: &T) -> Result<(), Error> {
        for (chunk, word) in bytemuck::bytes_of(value).chunks_exact(8).zip(self.words(index)?) {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(chunk);
            word.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Writes zeros over an element.
    pub(crate) fn clear<T: Pod + Zeroable>(&self, index: u32) -> Result<(), Error> {
        self.store(index, &T::zeroed())
    }

    fn segment(&self, segment: u32) -> Result<Option<&Words>, Error> {
        let Some(cell) = usize::try_from(segment).ok().and_then(|at| self.segments.get(at)) else {
            return Ok(None);
        };
        if cell.get().is_none() {
            let first = segment * self.per_segment;
            let elements = usize::try_from(self.per_segment.min(self.entries - first)).unwrap_or(0);
            let bytes = elements * self.shape.stride;
            let words = match &self.source {
                Source::Heap => Words::heap(bytes),
                Source::Map(fd) => {
                    Words::map(fd, usize::try_from(first).unwrap_or(0) * self.shape.stride, bytes).map_err(
                        |source| Error::Io {
                            what: "cannot map",
                            path: PathBuf::from(self.name),
                            source,
                        },
                    )?
                }
            };
            // A racing thread may have been first; its words are the same memory, ours are unmapped on drop.
            let _ = cell.set(words);
        }
        Ok(cell.get())
    }
}

enum Words {
    Heap(Box<[AtomicU64]>),
    Map { base: NonNull<AtomicU64>, bytes: usize },
}

// SAFETY: the mapping is shared memory that is only ever accessed through atomics, and is unmapped once, on drop.
unsafe impl Send for Words {}
// SAFETY: as above; shared references give out atomics only.
unsafe impl Sync for Words {}

impl Words {
    fn heap(bytes: usize) -> Self {
        Self::Heap((0..bytes / 8).map(|_| AtomicU64::new(0)).collect())
    }

    fn map(fd: &OwnedFd, offset: usize, bytes: usize) -> std::io::Result<Self> {
        let offset =
            libc::off_t::try_from(offset).map_err(|_| std::io::Error::from_raw_os_error(libc::EOVERFLOW))?;
        // SAFETY: a fresh shared mapping of a map's memory at an address of the kernel's choice aliases no Rust object.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                offset,
            )
        };
        match NonNull::new(base.cast::<AtomicU64>()) {
            Some(base) if base.as_ptr().cast() != libc::MAP_FAILED => Ok(Self::Map { base, bytes }),
            _ => Err(std::io::Error::last_os_error()),
        }
    }

    fn as_slice(&self) -> &[AtomicU64] {
        match self {
            Self::Heap(words) => words,
            // SAFETY: the mapping is page-aligned, at least `bytes` long and lives as long as `self`.
            Self::Map { base, bytes } => unsafe { std::slice::from_raw_parts(base.as_ptr(), bytes / 8) },
        }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        if let Self::Map { base, bytes } = self {
            // SAFETY: base and length are those of the mmap call, and nothing borrows the words any more.
            unsafe { libc::munmap(base.as_ptr().cast(), *bytes) };
        }
    }
}

#[cfg(test)]
mod tests {
    use continuity_wire::{Backend, Traffic};

    use super::{Region, Shape, Source};

    #[test]
    fn an_element_reads_back_as_it_was_written_in_every_segment() {
        let region = Region::new(
            "backends",
            Shape::whole(size_of::<Backend>()),
            20_000,
            Source::Heap,
        );
        for index in [0, 1, 8_191, 8_192, 19_999] {
            let backend = Backend::new("10.1.2.3:80".parse().unwrap(), index, 7, true);
            region.store(index, &backend).unwrap();
            assert_eq!(region.load::<Backend>(index).unwrap(), backend);
        }
        assert!(region.load::<Backend>(20_000).is_err());
    }

    #[test]
    fn memory_is_taken_only_where_it_is_used() {
        let region = Region::new(
            "traffic",
            Shape::whole(size_of::<Traffic>()),
            65_536,
            Source::Heap,
        );
        region.clear::<Traffic>(300).unwrap();
        assert_eq!(
            region
                .segments
                .iter()
                .filter(|segment| segment.get().is_some())
                .count(),
            1
        );
    }
}
