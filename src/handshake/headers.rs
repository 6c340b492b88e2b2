//! The header lines of one request, as the handshake and the search for the client's address read them: by name, in
//! the order they came, as bytes.

/// The header lines of one request, borrowed from whoever parsed it.
///
/// Collected from pairs of name and value; lines of the same name keep their order.
#[derive(Clone, Debug, Default)]
pub struct Headers<'a> {
    lines: Vec<(&'a str, &'a [u8])>,
}

impl<'a> Headers<'a> {
    /// The values of all lines with this name, compared without regard to case, trimmed of white space.
    pub fn lines<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'a [u8]> + 's {
        self.lines
            .iter()
            .filter(move |(line_name, _)| line_name.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim_ascii())
    }
}

impl<'a> FromIterator<(&'a str, &'a [u8])> for Headers<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a [u8])>>(lines: I) -> Self {
        Self {
            lines: lines.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_by_name_in_any_case_and_keep_their_order() {
        let headers: Headers<'_> = [
            ("accept", &b" 1 "[..]),
            ("Accept", b"\t2"),
            ("accept-x", b"3"),
            ("ACCEPT", b"\xff"),
        ]
        .into_iter()
        .collect();
        assert_eq!(
            headers.lines("Accept").collect::<Vec<_>>(),
            [&b"1"[..], b"2", b"\xff"]
        );
        assert_eq!(headers.lines("host").count(), 0);
    }
}
