//! The least of Cap'n Proto that a data stream's head needs: structs with two pointers at most, texts, lists of key and value.
//!
//! A head is written for every request, so it is encoded straight into one buffer of known size, and read by following
//! pointers that are checked against the segment they lie in. Messages of several segments and far pointers are followed
//! too: a foreign encoder may make them. Nothing here allocates more than the bytes already received.
//!
//! Source: <https://capnproto.org/encoding.html>.

/// Most segments a head may have. Encoders make one; a few are tolerated.
const SEGMENTS_MAX: usize = 16;

/// Why bytes are not a message this crate reads. Culprit: the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Too many segments, or larger than the caller allows.
    #[error("the message has {segments} segments and {bytes} bytes, more than is accepted")]
    TooLarge {
        /// Segments announced.
        segments: usize,
        /// Bytes announced.
        bytes: usize,
    },
    /// A pointer leads outside, or to something else than expected.
    #[error("a pointer of the message is wrong")]
    Pointer,
    /// The message's texts are more than the message: several pointers lead to one.
    #[error("the message's texts are longer than the message")]
    Amplified,
    /// A text is not UTF-8 or not terminated.
    #[error("a text of the message is not UTF-8 with a final NUL")]
    Text,
}

/// Size of the framed message at the head of `buf`, once the segment table is there.
pub fn framed_len(buf: &[u8], bytes_max: usize) -> Result<Option<usize>, WireError> {
    let Some(first) = word32(buf, 0) else { return Ok(None) };
    let segments = first as usize + 1;
    if segments > SEGMENTS_MAX || first == u32::MAX {
        return Err(WireError::TooLarge { segments: first as usize, bytes: 0 });
    }
    let table = table_len(segments);
    if buf.len() < table {
        return Ok(None);
    }
    let mut bytes = table;
    for segment in 0..segments {
        let words = word32(buf, 4 + 4 * segment).expect("inside the table") as usize;
        bytes = bytes.saturating_add(words.saturating_mul(8));
    }
    if bytes > bytes_max { Err(WireError::TooLarge { segments, bytes }) } else { Ok(Some(bytes)) }
}

fn table_len(segments: usize) -> usize {
    (4 + 4 * segments).next_multiple_of(8)
}

fn word32(buf: &[u8], at: usize) -> Option<u32> {
    buf.get(at..at + 4).map(|b| u32::from_le_bytes(b.try_into().expect("four bytes")))
}

/// Little-endian words, so that one check bounds each.
type Segment<'a> = &'a [[u8; 8]];

/// A whole framed message; its segments borrow the buffer.
pub struct Message<'a> {
    segments: [Segment<'a>; SEGMENTS_MAX],
    /// Bytes of text that may still be read: as many as were received, so that many pointers to one text gain nothing.
    budget: std::cell::Cell<usize>,
}

/// Where an object lies.
#[derive(Clone, Copy)]
struct Place {
    segment: usize,
    word: usize,
}

/// A struct inside a message.
#[derive(Clone, Copy)]
pub struct Struct<'m, 'a> {
    message: &'m Message<'a>,
    place: Place,
    data_words: usize,
    pointers: usize,
}

impl<'a> Message<'a> {
    /// Of the bytes that [`framed_len`] measured.
    pub fn new(buf: &'a [u8]) -> Result<Self, WireError> {
        let segments_count = word32(buf, 0).ok_or(WireError::Pointer)? as usize + 1;
        if segments_count > SEGMENTS_MAX {
            return Err(WireError::TooLarge { segments: segments_count, bytes: buf.len() });
        }
        let mut segments: [Segment<'a>; SEGMENTS_MAX] = [&[]; SEGMENTS_MAX];
        let mut at = table_len(segments_count);
        for (index, segment) in segments.iter_mut().enumerate().take(segments_count) {
            let len = word32(buf, 4 + 4 * index).ok_or(WireError::Pointer)? as usize * 8;
            *segment = buf.get(at..at.checked_add(len).ok_or(WireError::Pointer)?).ok_or(WireError::Pointer)?.as_chunks().0;
            at += len;
        }
        Ok(Self { segments, budget: std::cell::Cell::new(buf.len()) })
    }

    /// The root struct.
    pub fn root(&self) -> Result<Struct<'_, 'a>, WireError> {
        self.follow_struct(Place { segment: 0, word: 0 })?.ok_or(WireError::Pointer)
    }

    #[inline]
    fn word(&self, place: Place) -> Result<u64, WireError> {
        let segment = self.segments.get(place.segment).ok_or(WireError::Pointer)?;
        segment.get(place.word).map(|word| u64::from_le_bytes(*word)).ok_or(WireError::Pointer)
    }

    #[inline]
    fn bytes(&self, place: Place, len: usize) -> Result<&'a [u8], WireError> {
        let segment = self.segments.get(place.segment).ok_or(WireError::Pointer)?;
        segment.get(place.word..).and_then(|words| words.as_flattened().get(..len)).ok_or(WireError::Pointer)
    }

    /// Resolves far pointers: the pointer word to interpret, and where its object begins (none: a null pointer).
    #[inline]
    fn resolve(&self, at: Place) -> Result<Option<(u64, Place)>, WireError> {
        let pointer = self.word(at)?;
        if pointer == 0 {
            return Ok(None);
        }
        if pointer & 3 != 2 {
            return Ok(Some((pointer, offset_target(at, pointer)?)));
        }
        self.resolve_far(pointer)
    }

    /// What no encoder of one segment writes.
    #[cold]
    fn resolve_far(&self, pointer: u64) -> Result<Option<(u64, Place)>, WireError> {
        let landing = Place { segment: (pointer >> 32) as usize, word: (pointer >> 3 & 0x1fff_ffff) as usize };
        let pad = self.word(landing)?;
        if pointer & 4 == 0 {
            if pad & 3 == 2 {
                return Err(WireError::Pointer);
            }
            return if pad == 0 { Ok(None) } else { Ok(Some((pad, offset_target(landing, pad)?))) };
        }
        if pad & 7 != 2 {
            return Err(WireError::Pointer);
        }
        let object = Place { segment: (pad >> 32) as usize, word: (pad >> 3 & 0x1fff_ffff) as usize };
        let tag = self.word(Place { segment: landing.segment, word: landing.word + 1 })?;
        Ok(Some((tag, object)))
    }

    fn follow_struct(&self, at: Place) -> Result<Option<Struct<'_, 'a>>, WireError> {
        let Some((pointer, place)) = self.resolve(at)? else { return Ok(None) };
        if pointer & 3 != 0 {
            return Err(WireError::Pointer);
        }
        let data_words = (pointer >> 32 & 0xffff) as usize;
        let pointers = (pointer >> 48) as usize;
        self.bytes(place, (data_words + pointers) * 8)?;
        Ok(Some(Struct { message: self, place, data_words, pointers }))
    }
}

fn offset_target(at: Place, pointer: u64) -> Result<Place, WireError> {
    // The offset is a signed 30-bit number of words, counted from the word after the pointer.
    #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "the low half is the signed field itself")]
    let offset = (pointer as u32 as i32 >> 2) as isize;
    let word = (at.word + 1).checked_add_signed(offset).ok_or(WireError::Pointer)?;
    Ok(Place { segment: at.segment, word })
}

impl<'m, 'a> Struct<'m, 'a> {
    /// The 16-bit number at this index of the data section; 0 where the section is shorter.
    pub fn u16(&self, index: usize) -> u16 {
        if index / 4 >= self.data_words {
            return 0;
        }
        let word = self.message.word(Place { word: self.place.word + index / 4, ..self.place }).unwrap_or(0);
        u16::try_from(word >> (16 * (index % 4)) & 0xffff).expect("masked to 16 bits")
    }

    fn pointer(&self, index: usize) -> Option<Place> {
        (index < self.pointers).then(|| Place { word: self.place.word + self.data_words + index, ..self.place })
    }

    /// The text behind this pointer; empty where there is none.
    pub fn text(&self, index: usize) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.octets(index)?).map_err(|_| WireError::Text)
    }

    /// The text behind this pointer, UTF-8 or not: field values may hold octets that are none (RFC 9110 §5.5).
    #[inline]
    pub fn octets(&self, index: usize) -> Result<&'a [u8], WireError> {
        let Some(at) = self.pointer(index) else { return Ok(&[]) };
        let Some((pointer, place)) = self.message.resolve(at)? else { return Ok(&[]) };
        if pointer & 3 != 1 || pointer >> 32 & 7 != 2 {
            return Err(WireError::Pointer);
        }
        let len = (pointer >> 35) as usize;
        let bytes = self.message.bytes(place, len)?;
        self.message.budget.set(self.message.budget.get().checked_sub(len).ok_or(WireError::Amplified)?);
        match bytes.split_last() {
            Some((0, text)) => Ok(text),
            _ => Err(WireError::Text),
        }
    }

    /// The list of structs behind this pointer, at most `elements_max` of them; empty where there is none.
    pub fn structs(
        &self,
        index: usize,
        elements_max: usize,
    ) -> Result<impl Iterator<Item = Struct<'m, 'a>> + use<'m, 'a>, WireError> {
        let message = self.message;
        let (first, count, data_words, pointers) = match self.pointer(index).map(|at| message.resolve(at)).transpose()?.flatten()
        {
            None => (self.place, 0, 0, 0),
            Some((pointer, place)) => {
                if pointer & 3 != 1 || pointer >> 32 & 7 != 7 {
                    return Err(WireError::Pointer);
                }
                let words = (pointer >> 35) as usize;
                let tag = message.word(place)?;
                let count = (tag >> 2 & 0x3fff_ffff) as usize;
                let (data_words, pointers) = ((tag >> 32 & 0xffff) as usize, (tag >> 48) as usize);
                // A list of empty structs would let a few bytes announce a billion elements.
                let needed = count.checked_mul(data_words + pointers).ok_or(WireError::Pointer)?;
                if tag & 3 != 0 || needed > words || count > elements_max {
                    return Err(WireError::Pointer);
                }
                message.bytes(place, (words + 1) * 8)?;
                (Place { word: place.word + 1, ..place }, count, data_words, pointers)
            }
        };
        let stride = data_words + pointers;
        Ok((0..count).map(move |i| Struct {
            message,
            place: Place { word: first.word + i * stride, ..first },
            data_words,
            pointers,
        }))
    }
}

/// Words that a text of this many bytes occupies, its final NUL included.
pub const fn text_words(len: usize) -> usize {
    (len + 1).div_ceil(8)
}

/// A pointer to a struct `offset` words after it.
pub const fn struct_pointer(offset: usize, data_words: u16, pointers: u16) -> u64 {
    (offset as u64 & 0x3fff_ffff) << 2 | (data_words as u64) << 32 | (pointers as u64) << 48
}

/// A pointer to a text of `len` bytes (its NUL not counted) `offset` words after it.
pub const fn text_pointer(offset: usize, len: usize) -> u64 {
    (offset as u64 & 0x3fff_ffff) << 2 | 1 | 2 << 32 | (len as u64 + 1) << 35
}

/// A pointer to a list of structs `offset` words after it, `words` long without its tag.
pub const fn structs_pointer(offset: usize, words: usize) -> u64 {
    (offset as u64 & 0x3fff_ffff) << 2 | 1 | 7 << 32 | (words as u64) << 35
}

/// Writes a message of known size, front to back, over memory that is nought: padding and empty pointers need not be written.
pub struct Writer<'a>(&'a mut [u8]);

impl<'a> Writer<'a> {
    /// Over these bytes.
    pub fn new(room: &'a mut [u8]) -> Self {
        Self(room)
    }

    /// The next so many bytes.
    #[inline]
    fn take(&mut self, len: usize) -> &'a mut [u8] {
        let (taken, rest) = std::mem::take(&mut self.0).split_at_mut(len);
        self.0 = rest;
        taken
    }

    /// Leaves so many words to be written by another.
    pub fn words(&mut self, words: usize) -> Self {
        Self(self.take(8 * words))
    }

    /// Writes bytes as they are.
    #[inline]
    pub fn octets(&mut self, octets: &[u8]) {
        self.take(octets.len()).copy_from_slice(octets);
    }

    /// Writes a word.
    #[inline]
    pub fn word(&mut self, word: u64) {
        self.octets(&word.to_le_bytes());
    }

    /// Writes a text, which comes in parts, with its NUL and padding; how many words it took.
    #[inline]
    pub fn text<const N: usize>(&mut self, parts: [&[u8]; N]) -> usize {
        let words = text_words(parts.iter().map(|part| part.len()).sum());
        let mut text = Writer(self.take(8 * words));
        for part in parts {
            text.octets(part);
        }
        words
    }

    /// All is written.
    pub fn finish(self) {
        debug_assert!(self.0.is_empty(), "the size was known");
    }
}
