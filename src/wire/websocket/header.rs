//! Lists in header values: tokens (subprotocols) and offers with parameters (extensions), parsed and formatted by the
//! grammar of RFC 6455 section 9.1 and RFC 7230 section 7. One parser for the opening and the extended handshake.

use std::fmt;

use thiserror::Error;

/// An extension with its parameters, as proposed or as agreed (RFC 6455 section 9.1).
///
/// Name, parameter names and values are tokens and keep their case: extension names are compared exactly.
/// `Display` formats it for a header; [`parse_offers`] is the inverse.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Offer {
    /// The extension's registered name.
    pub name: String,
    /// The parameters in the order they were written; one without `=` has no value.
    pub params: Vec<(String, Option<String>)>,
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (name, value) in &self.params {
            write!(f, "; {name}")?;
            if let Some(value) = value {
                // A value is a token even where it came quoted, so it never needs quotes.
                write!(f, "={value}")?;
            }
        }
        Ok(())
    }
}

/// Why a header's list cannot be used; always the peer's fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// The header is there, but its list has no element (RFC 7230 section 7: `1#element` needs one).
    #[error("the list is empty")]
    Empty,
    /// All lines together have more than [`MAX_LIST_BYTES`] bytes.
    #[error("the list has more than {MAX_LIST_BYTES} bytes")]
    TooLong,
    /// The list has more than [`MAX_ELEMENTS`] elements.
    #[error("the list has more than {MAX_ELEMENTS} elements")]
    TooManyElements,
    /// All offers together have more than [`MAX_PARAMS`] parameters.
    #[error("the list has more than {MAX_PARAMS} parameters")]
    TooManyParams,
    /// A character that the grammar does not allow at its place.
    #[error("unexpected character {found:?}")]
    Unexpected {
        /// The character.
        found: char,
    },
    /// The value ends where a token was due.
    #[error("it ends where a name or a value was due")]
    UnexpectedEnd,
    /// A quoted string without its closing quote.
    #[error("a quoted string does not end")]
    QuoteOpen,
    /// A quoted value that is no token once unescaped, which RFC 6455 section 9.1 forbids.
    #[error("a quoted value is not a token")]
    ValueNotToken,
    /// A token was listed twice; RFC 6455 section 4.1 item 10 asks for unique ones.
    #[error("{token} is listed twice")]
    Duplicate {
        /// The token.
        token: String,
    },
}

/// Parses a list of unique tokens from all lines of one header, in their order; no lines, no tokens.
///
/// # Errors
/// What [`HeaderError`] lists; a token that appears twice (compared exactly) is one of them.
pub fn parse_tokens<'a>(
    lines: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<String>, HeaderError> {
    let tokens = parse_list(lines, Cursor::token)?;
    for (index, token) in tokens.iter().enumerate() {
        if tokens.iter().take(index).any(|earlier| earlier == token) {
            return Err(HeaderError::Duplicate {
                token: (*token).to_owned(),
            });
        }
    }
    Ok(tokens.into_iter().map(str::to_owned).collect())
}

/// Parses a list of extension offers from all lines of one header, in their order; no lines, no offers.
///
/// The same extension may be offered more than once, with different parameters (RFC 7692 section 5.1), and what a
/// parameter that is given twice means is the extension's business.
///
/// # Errors
/// What [`HeaderError`] lists, duplicates excepted.
pub fn parse_offers<'a>(
    lines: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<Offer>, HeaderError> {
    let mut params_left = MAX_PARAMS;
    parse_list(lines, |cursor| parse_offer(cursor, &mut params_left))
}

/// Whether a comma-separated header such as `Connection` or `Upgrade` names `token`, in any case.
pub fn has_token<'a>(lines: impl IntoIterator<Item = &'a str>, token: &str) -> bool {
    lines
        .into_iter()
        .flat_map(|line| line.split(','))
        .any(|element| element.trim_matches(WHITESPACE).eq_ignore_ascii_case(token))
}

fn parse_list<'a, T>(
    lines: impl IntoIterator<Item = &'a str>,
    mut element: impl FnMut(&mut Cursor<'a>) -> Result<T, HeaderError>,
) -> Result<Vec<T>, HeaderError> {
    let mut elements = Vec::new();
    let mut bytes_left = MAX_LIST_BYTES;
    let mut is_present = false;
    for line in lines {
        is_present = true;
        bytes_left = bytes_left
            .checked_sub(line.len())
            .ok_or(HeaderError::TooLong)?;
        let mut cursor = Cursor { rest: line };
        loop {
            cursor.skip_empty_elements();
            if cursor.rest.is_empty() {
                break;
            }
            if elements.len() == MAX_ELEMENTS {
                return Err(HeaderError::TooManyElements);
            }
            elements.push(element(&mut cursor)?);
            cursor.skip_whitespace();
            match cursor.peek() {
                None | Some(',') => {}
                Some(found) => return Err(HeaderError::Unexpected { found }),
            }
        }
    }
    if is_present && elements.is_empty() {
        return Err(HeaderError::Empty);
    }
    Ok(elements)
}

/// `extension-token *( ";" token [ "=" ( token / quoted-string ) ] )`. White space is allowed between any two parts:
/// RFC 6455 takes its grammar, the implied white space included, from RFC 2616.
fn parse_offer(cursor: &mut Cursor<'_>, params_left: &mut usize) -> Result<Offer, HeaderError> {
    let name = cursor.token()?.to_owned();
    let mut params = Vec::new();
    loop {
        cursor.skip_whitespace();
        if !cursor.eat(';') {
            return Ok(Offer { name, params });
        }
        *params_left = params_left
            .checked_sub(1)
            .ok_or(HeaderError::TooManyParams)?;
        cursor.skip_whitespace();
        let param = cursor.token()?.to_owned();
        cursor.skip_whitespace();
        let value = if cursor.eat('=') {
            cursor.skip_whitespace();
            Some(cursor.value()?)
        } else {
            None
        };
        params.push((param, value));
    }
}

/// What is left of one header line.
struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn eat(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn skip_whitespace(&mut self) {
        self.rest = self.rest.trim_start_matches(WHITESPACE);
    }

    /// RFC 7230 section 7: a recipient parses and ignores empty list elements.
    fn skip_empty_elements(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
    }

    fn token(&mut self) -> Result<&'a str, HeaderError> {
        let end = self
            .rest
            .find(|c| !is_token_char(c))
            .unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        if token.is_empty() {
            return Err(self.peek().map_or(HeaderError::UnexpectedEnd, |found| {
                HeaderError::Unexpected { found }
            }));
        }
        self.rest = rest;
        Ok(token)
    }

    /// A token, or a quoted string whose content is one.
    fn value(&mut self) -> Result<String, HeaderError> {
        if !self.eat('"') {
            return self.token().map(str::to_owned);
        }
        let mut value = String::new();
        let mut chars = self.rest.chars();
        loop {
            match chars.next().ok_or(HeaderError::QuoteOpen)? {
                '"' => break,
                '\\' => value.push(chars.next().ok_or(HeaderError::QuoteOpen)?),
                other => value.push(other),
            }
        }
        self.rest = chars.as_str();
        if value.is_empty() || !value.chars().all(is_token_char) {
            return Err(HeaderError::ValueNotToken);
        }
        Ok(value)
    }
}

/// RFC 7230 section 3.2.6, `tchar`.
fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// RFC 7230 section 3.2.3, `OWS`.
const WHITESPACE: [char; 2] = [' ', '\t'];

/// Bytes in all lines of one list. Browsers send under 100; 4 KiB leaves room for long names and bounds the work that
/// a request can cause before anything is known about it.
pub const MAX_LIST_BYTES: usize = 4096;

/// Elements in one list. The longest lists known (every subprotocol an MQTT or AMQP library speaks) have about ten;
/// finding duplicates compares each with each, which at 64 is 2,016 comparisons.
pub const MAX_ELEMENTS: usize = 64;

/// Parameters of all offers in one list together. permessage-deflate, the richest, has four, and is offered at most a
/// few times.
pub const MAX_PARAMS: usize = 64;

#[cfg(test)]
mod tests;
