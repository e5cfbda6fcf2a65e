//! One answer's compressor: octets in, octets out, and everything out when it is asked for.
//!
//! What each takes while it lives is bounded by its window, and by the answer's own length where that is known; a test measures it.

use std::io::{self, Write as _};

use brotli::enc::BrotliEncoderParams;
use flate2::{Compression, write::GzEncoder};
use zstd::stream::{raw, write::Encoder as ZstdEncoder};
use zstd::zstd_safe::CParameter;

use super::coding::Coding;

/// How far back each looks, as a power of two: 256 KiB. More would be kept by each visitor's browser too.
const WINDOW_LOG_MAX: u32 = 18;
const ZSTD_LEVEL: i32 = 3;
const BROTLI_QUALITY: i32 = 4;
const GZIP_LEVEL: u32 = 6;

pub(crate) enum Encoder {
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(Box<ZstdEncoder<'static, Vec<u8>>>),
}

impl Encoder {
    /// `length`: of the whole answer in bytes, where it is known.
    ///
    /// # Errors
    /// There is no memory.
    pub(crate) fn new(coding: Coding, length: Option<u64>) -> io::Result<Self> {
        let window = |min: u32| {
            let needed = length.map_or(u64::BITS, |length| u64::BITS - length.saturating_sub(1).leading_zeros());
            needed.clamp(min, WINDOW_LOG_MAX)
        };
        Ok(match coding {
            Coding::Gzip => Self::Gzip(Box::new(GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL)))),
            Coding::Brotli => {
                let params = BrotliEncoderParams {
                    quality: BROTLI_QUALITY,
                    lgwin: i32::try_from(window(10)).unwrap_or_default(),
                    size_hint: length.and_then(|length| usize::try_from(length).ok()).unwrap_or_default(),
                    ..BrotliEncoderParams::default()
                };
                Self::Brotli(Box::new(brotli::CompressorWriter::with_params(Vec::new(), 4096, &params)))
            }
            Coding::Zstd => {
                let mut encoder = raw::Encoder::new(ZSTD_LEVEL)?;
                encoder.set_parameter(CParameter::WindowLog(window(10)))?;
                // Its tables become as small as it is. It would refuse an answer that is longer, or shorter, and is not told where nobody knows.
                encoder.set_pledged_src_size(length)?;
                Self::Zstd(Box::new(ZstdEncoder::with_encoder(Vec::new(), encoder)))
            }
        })
    }

    /// Takes all of it in.
    ///
    /// # Errors
    /// The library's.
    pub(crate) fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.write_all(octets),
            Self::Brotli(encoder) => encoder.write_all(octets),
            Self::Zstd(encoder) => encoder.write_all(octets),
        }
    }

    /// Puts all of what was taken in out, so that a visitor can read it.
    ///
    /// # Errors
    /// The library's.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.flush(),
            Self::Brotli(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }

    /// What came out since the last time.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        })
    }

    /// The rest, and its end.
    ///
    /// # Errors
    /// The library's.
    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Brotli(encoder) => Ok(encoder.into_inner()),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}
