//! Finds frame boundaries: in a stream that is cut anywhere ([`Scanner`]), and in one of whose
//! frames only whole ones count ([`whole_frames`]). Both look at headers, end octets and method
//! numbers, and touch no other byte.

use crate::wire::amqp::frame::FrameError;
use crate::wire::amqp::frame::FrameHeader;
use crate::wire::amqp::frame::FrameKind;
use crate::wire::amqp::frame::Limits;
use crate::wire::amqp::frame::END_OCTET;
use crate::wire::amqp::frame::HEADER_SIZE;
use crate::wire::amqp::frame::OVERHEAD;
use crate::wire::amqp::method::MethodId;

/// What a scan tells of a complete frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its header.
    pub header: FrameHeader,
    /// The method, if it is a method frame of at least four bytes.
    pub method: Option<MethodId>,
}

/// What the visitor of a scan wants after a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Go on with the next frame.
    GoOn,
    /// Stop behind this frame.
    Stop,
}

/// How far a scan came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scan {
    /// Bytes from the front that belong to frames whose headers are good, so that they may be
    /// passed on. If it is more than zero, so may what [`Scanner::held`] gave before the scan.
    pub passed: usize,
    /// Why the scan ended.
    pub end: ScanEnd,
}

/// Why a scan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanEnd {
    /// All bytes were used. Those behind [`Scan::passed`] are the beginning of a header and are
    /// held.
    Exhausted,
    /// The visitor asked for it; `passed` ends behind the frame, and what follows has not been
    /// looked at.
    Stopped,
    /// What stands at `passed` (with what was held before it) is wrong. The scanner is of no use
    /// afterwards.
    Failed(FrameError),
}

/// Follows the frames of a stream that is cut anywhere, and holds back no more than the beginning
/// of a header.
#[derive(Debug, Clone, Default)]
pub struct Scanner {
    header: [u8; HEADER_SIZE],
    /// Bytes of `header` that are known; [`HEADER_SIZE`] within a frame.
    header_size: u8,
    method: [u8; 4],
    /// Bytes of `method` that are known.
    method_size: u8,
    /// Bytes until the frame is over, its end octet counted; 0 between frames and within a header.
    left: u64,
}

impl Scanner {
    /// The beginning of a header that has not been judged yet, and so has not been passed on.
    #[inline]
    pub const fn held(&self) -> Held {
        if self.left > 0 {
            return Held::NOTHING;
        }
        let [a, b, c, d, e, f, _] = self.header;
        Held {
            bytes: [a, b, c, d, e, f],
            size: self.header_size,
        }
    }

    /// Whether the stream stands between two frames, with nothing held.
    pub const fn is_between_frames(&self) -> bool {
        self.header_size == 0
    }

    /// Scans on. `visit` sees each frame when its end octet has been seen.
    #[inline]
    pub fn scan(
        &mut self,
        bytes: &[u8],
        limits: Limits,
        mut visit: impl FnMut(Seen) -> Then,
    ) -> Scan {
        let mut at = 0;
        if !self.is_between_frames() {
            match self.resume(bytes, limits, &mut visit) {
                Scan {
                    passed,
                    end: ScanEnd::Exhausted,
                } if self.is_between_frames() => at = passed,
                scan => return scan,
            }
        }
        loop {
            match next_whole(bytes, at, limits, &mut visit) {
                Step::Frame {
                    end,
                    then: Then::GoOn,
                } => at = end,
                Step::Frame {
                    end,
                    then: Then::Stop,
                } => {
                    return Scan {
                        passed: end,
                        end: ScanEnd::Stopped,
                    }
                }
                Step::Failed { at, error } => {
                    return Scan {
                        passed: at,
                        end: ScanEnd::Failed(error),
                    }
                }
                Step::Incomplete { .. } => break,
            }
        }
        let tail = bytes.get(at..).unwrap_or_default();
        if tail.is_empty() {
            return Scan {
                passed: at,
                end: ScanEnd::Exhausted,
            };
        }
        // Less than a frame is left, so the visitor is not called again.
        let Scan { passed, end } = self.resume(tail, limits, &mut visit);
        Scan {
            passed: at + passed,
            end,
        }
    }

    /// Goes on within a frame, at most to its end.
    fn resume(
        &mut self,
        bytes: &[u8],
        limits: Limits,
        visit: &mut impl FnMut(Seen) -> Then,
    ) -> Scan {
        let mut rest = bytes;
        if self.left == 0 {
            self.header_size += fill(&mut self.header, self.header_size, &mut rest);
            if usize::from(self.header_size) < HEADER_SIZE {
                return Scan {
                    passed: 0,
                    end: ScanEnd::Exhausted,
                };
            }
            let header = FrameHeader::from_bytes(self.header);
            if let Err(error) = limits.check(header) {
                return Scan {
                    passed: 0,
                    end: ScanEnd::Failed(error),
                };
            }
            self.left = u64::from(header.size) + 1;
            self.method_size = 0;
        }
        let header = FrameHeader::from_bytes(self.header);
        let (payload, behind) = match usize::try_from(self.left - 1) {
            Ok(size) => rest.split_at_checked(size).unwrap_or((rest, &[])),
            Err(_) => (rest, &[][..]),
        };
        if header.kind == FrameKind::METHOD {
            self.method_size += fill(&mut self.method, self.method_size, &mut &*payload);
        }
        self.left -= payload.len() as u64;
        let Some((end_octet, after)) = behind.split_first() else {
            return Scan {
                passed: bytes.len(),
                end: ScanEnd::Exhausted,
            };
        };
        if *end_octet != END_OCTET {
            let error = FrameError::WrongEnd {
                header,
                found: *end_octet,
            };
            return Scan {
                passed: bytes.len() - behind.len(),
                end: ScanEnd::Failed(error),
            };
        }
        let method = (self.method_size == 4 && header.kind == FrameKind::METHOD)
            .then(|| MethodId::from_bytes(self.method));
        self.left = 0;
        self.header_size = 0;
        let end = match visit(Seen { header, method }) {
            Then::GoOn => ScanEnd::Exhausted,
            Then::Stop => ScanEnd::Stopped,
        };
        Scan {
            passed: bytes.len() - after.len(),
            end,
        }
    }
}

/// Bytes that a scanner held, to be written before what the next scan passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    bytes: [u8; HEADER_SIZE - 1],
    size: u8,
}

impl Held {
    /// No bytes.
    pub const NOTHING: Self = Self {
        bytes: [0; HEADER_SIZE - 1],
        size: 0,
    };

    /// The bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.size)).unwrap_or_default()
    }

    /// How many there are, at most 6.
    #[inline]
    pub const fn len(&self) -> usize {
        self.size as usize
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.size == 0
    }
}

/// How far [`whole_frames`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WholeFrames {
    /// Bytes of whole, good frames from the front.
    pub passed: usize,
    /// Bytes the frame behind them has in all, or 0 if its header is not complete.
    pub incomplete: usize,
    /// Why the scan ended; [`ScanEnd::Exhausted`] if only an incomplete frame or nothing is left.
    pub end: ScanEnd,
}

/// Looks at the whole frames at the front of `bytes`, which begin at a frame boundary. An
/// incomplete frame's header is held to the limits as soon as it is there.
#[inline]
pub fn whole_frames(
    bytes: &[u8],
    limits: Limits,
    mut visit: impl FnMut(Seen) -> Then,
) -> WholeFrames {
    let mut at = 0;
    loop {
        match next_whole(bytes, at, limits, &mut visit) {
            Step::Frame {
                end,
                then: Then::GoOn,
            } => at = end,
            Step::Frame {
                end,
                then: Then::Stop,
            } => {
                return WholeFrames {
                    passed: end,
                    incomplete: 0,
                    end: ScanEnd::Stopped,
                };
            }
            Step::Failed { error, .. } => {
                return WholeFrames {
                    passed: at,
                    incomplete: 0,
                    end: ScanEnd::Failed(error),
                };
            }
            Step::Incomplete { size } => {
                return WholeFrames {
                    passed: at,
                    incomplete: size,
                    end: ScanEnd::Exhausted,
                };
            }
        }
    }
}

/// What stands at one place of a slice.
enum Step {
    /// A whole frame, which ends before `end`.
    Frame { end: usize, then: Then },
    /// Less than a frame; `size` is what it will have in all, or 0 if that is not known.
    Incomplete { size: usize },
    /// A header that breaks a rule, or a wrong end octet, at `at`.
    Failed { at: usize, error: FrameError },
}

/// The data path: a few nanoseconds for a frame.
#[inline(always)]
fn next_whole(
    bytes: &[u8],
    at: usize,
    limits: Limits,
    visit: &mut impl FnMut(Seen) -> Then,
) -> Step {
    let Some((first, rest)) = bytes.get(at..).and_then(<[u8]>::split_first_chunk) else {
        return Step::Incomplete { size: 0 };
    };
    let header = FrameHeader::from_bytes(*first);
    if let Err(error) = limits.check(header) {
        return Step::Failed { at, error };
    }
    let size = header.size as usize;
    let Some(end_octet) = rest.get(size) else {
        return Step::Incomplete {
            size: size.saturating_add(OVERHEAD),
        };
    };
    let end = at + HEADER_SIZE + size;
    if *end_octet != END_OCTET {
        return Step::Failed {
            at: end,
            error: FrameError::WrongEnd {
                header,
                found: *end_octet,
            },
        };
    }
    let method = match rest.first_chunk() {
        Some(number) if header.kind == FrameKind::METHOD && size >= number.len() => {
            Some(MethodId::from_bytes(*number))
        }
        _ => None,
    };
    Step::Frame {
        end: end + 1,
        then: visit(Seen { header, method }),
    }
}

/// Copies into `target`, from place `known` on, what `source` has and `target` still lacks; takes
/// it from `source` and says how many bytes that were.
fn fill(target: &mut [u8], known: u8, source: &mut &[u8]) -> u8 {
    let missing = target.get_mut(usize::from(known)..).unwrap_or_default();
    let count = missing.len().min(source.len());
    for (place, byte) in missing.iter_mut().zip(source.iter()) {
        *place = *byte;
    }
    *source = source.get(count..).unwrap_or_default();
    // The targets are a header and a method number, so a handful of bytes.
    count as u8
}

#[cfg(test)]
mod tests;
