//! Where one request of a connection ends, so that the HTTP server is shown the next one only when this one is answered.
//!
//! It would decode ahead, and then frame an answer by the request that it decoded last: the answer to a GET in front of a
//! HEAD would lose its body. Nor is it to see what stands behind the last request of a connection (RFC 9112 section 9.6).
//! Only requests without a body are told apart; behind one with a body, or an upgrade, everything passes. A value.

/// The requests of one connection, as their bytes come.
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// What has come of the present head.
    head: Vec<u8>,
    stage: Stage,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    /// A head is coming.
    #[default]
    Head,
    /// It has come, and was the whole request.
    Whole,
    /// Everything passes.
    Through,
}

impl Heads {
    /// How many of these bytes belong to what may be seen now; the others wait for [`Self::next`].
    pub(super) fn take(&mut self, bytes: &[u8]) -> usize {
        match self.stage {
            Stage::Through => return bytes.len(),
            Stage::Whole => return 0,
            Stage::Head => {}
        }
        for (at, byte) in bytes.iter().enumerate() {
            // RFC 9112 section 2.2: empty lines in front are no head.
            if self.head.is_empty() && matches!(byte, b'\r' | b'\n') {
                continue;
            }
            self.head.push(*byte);
            let is_end =
                *byte == b'\n' && (self.head.ends_with(b"\n\n") || self.head.ends_with(b"\n\r\n"));
            if is_end && is_whole(&self.head) {
                self.head = Vec::new();
                self.stage = Stage::Whole;
                return at + 1;
            }
            if is_end || self.head.len() == HEAD_MAX {
                self.head = Vec::new();
                self.stage = Stage::Through;
                return bytes.len();
            }
        }
        bytes.len()
    }

    /// The present request is answered.
    pub(super) fn next(&mut self) {
        if self.stage == Stage::Whole {
            self.stage = Stage::Head;
        }
    }
}

/// Whether nothing belongs to a request but its head.
fn is_whole(head: &[u8]) -> bool {
    let mut lines = head.split(|byte| *byte == b'\n').skip(1);
    lines.all(|line| {
        let end = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(end.unwrap_or(line.len()));
        match name.trim_ascii().to_ascii_lowercase().as_slice() {
            b"content-length" => value.strip_prefix(b":").map(<[u8]>::trim_ascii) == Some(b"0"),
            b"transfer-encoding" | b"upgrade" => false,
            _ => true,
        }
    })
}

/// Longer than any head that the HTTP server takes.
const HEAD_MAX: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    #[test]
    fn one_request_is_seen_at_a_time() {
        let mut heads = Heads::default();
        let both = [GET, GET].concat();
        assert_eq!(heads.take(&both), GET.len());
        assert_eq!(heads.take(GET), 0);
        heads.next();
        assert_eq!(heads.take(GET), GET.len());
    }

    #[test]
    fn what_belongs_to_a_request_passes() {
        for line in [
            "Content-Length: 3",
            "content-length:3",
            "Transfer-Encoding: chunked",
            "UPGRADE : websocket",
        ] {
            let mut heads = Heads::default();
            let request = format!("POST / HTTP/1.1\r\n{line}\r\nHost: a\r\n\r\nabcGET");
            assert_eq!(heads.take(request.as_bytes()), request.len(), "{line}");
            heads.next();
            assert_eq!(heads.take(GET), GET.len());
            assert_eq!(heads.take(GET), GET.len(), "{line}: no more is known");
        }
        let mut heads = Heads::default();
        let empty = b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(heads.take(&[&empty[..], GET].concat()), empty.len());
    }

    #[test]
    fn heads_without_an_end_are_not_kept_for_ever() {
        let mut heads = Heads::default();
        for _ in 0..HEAD_MAX {
            assert_eq!(heads.take(b"xx"), 2);
        }
        assert!(heads.head.is_empty());
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(cut in 0..GET.len(), ends in "(\r?\n){0,3}") {
            let request = [ends.as_bytes(), GET].concat();
            let mut heads = Heads::default();
            prop_assert_eq!(heads.take(&request[..cut]), cut);
            let rest = [&request[cut..], b"HEAD"].concat();
            prop_assert_eq!(heads.take(&rest), request.len() - cut);
        }
    }
}
