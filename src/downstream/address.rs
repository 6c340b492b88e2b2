//! Whose address a session has: the peer's, or behind trusted proxies the one that they report, and the part of it
//! that limits count by.

use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;

use ipnet::IpNet;

use crate::handshake::headers::Headers;

/// The client's address, given the socket's peer, the trusted proxies and the request's headers.
///
/// Headers count only if the peer is trusted: `Forwarded` (RFC 7239) if the request has it, else `X-Forwarded-For`.
/// They are walked from the last entry, which the peer wrote, to the first, past entries that name trusted proxies; the
/// first that is not trusted is the client. An entry that names no address (`unknown`, `_hidden`, anything malformed)
/// ends the walk at the proxy that reported it, for what stands before such an entry could be anybody's invention.
///
/// The address is never an IPv4 one in IPv6 clothes. The port is 0 where a proxy does not report it, as most do not.
///
/// A trusted proxy must set or remove **both** headers: one that passes a client's `Forwarded` on untouched lets the
/// client choose its address.
pub fn client_address(peer: SocketAddr, trusted: &[IpNet], headers: &Headers<'_>) -> SocketAddr {
    let is_trusted = |ip: IpAddr| trusted.iter().any(|net| net.contains(&ip));
    let mut client = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    if trusted.is_empty() || !is_trusted(client.ip()) {
        return client;
    }
    for hop in hops(headers).into_iter().rev().take(MAX_HOPS) {
        let Some(reported) = hop else {
            break;
        };
        client = reported;
        if !is_trusted(client.ip()) {
            break;
        }
    }
    client
}

/// What limits per client count by: the whole IPv4 address, and of an IPv6 address the first 64 bits, because one
/// host has all of the rest to itself (RFC 4291 section 2.5.4).
pub fn limit_key(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

/// The reported hops from first to last; `None` where an entry names no address.
fn hops(headers: &Headers<'_>) -> Vec<Option<SocketAddr>> {
    let mut forwarded = headers.lines("Forwarded").peekable();
    if forwarded.peek().is_some() {
        return forwarded
            .flat_map(|line| entries(line, parse_forwarded))
            .collect();
    }
    headers
        .lines("X-Forwarded-For")
        .flat_map(|line| entries(line, parse_node))
        .collect()
}

/// The entries of one line, each read by `parse`; a line that is not text is one entry without an address.
fn entries(line: &[u8], parse: fn(&str) -> Option<SocketAddr>) -> Vec<Option<SocketAddr>> {
    match std::str::from_utf8(line) {
        // Empty list elements are nothing (RFC 7230 section 7).
        Ok(line) => split_unquoted(line, ',')
            .filter(|entry| !entry.is_empty())
            .map(parse)
            .collect(),
        Err(_) => vec![None],
    }
}

/// One `forwarded-element`: the address in its only `for` parameter (RFC 7239 section 4).
///
/// Every value is checked, not only that one: a client's open quote closes at the first quote of what the proxy
/// appends, and the text that then follows the closing quote is how the element is found out.
fn parse_forwarded(element: &str) -> Option<SocketAddr> {
    let mut node = None;
    for pair in split_unquoted(element, ';').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        let value = unquote(value.trim_ascii_start())?;
        if name.contains('"') {
            return None;
        }
        if name.trim_ascii_end().eq_ignore_ascii_case("for") && node.replace(value).is_some() {
            return None;
        }
    }
    parse_node(&node?)
}

/// `192.0.2.1`, `192.0.2.1:4711`, `[2001:db8::1]`, `[2001:db8::1]:4711` or `2001:db8::1`. A port that is hidden behind
/// a name (`_port`, RFC 7239 section 6) is an unknown one.
fn parse_node(node: &str) -> Option<SocketAddr> {
    if let Ok(ip) = node.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip.to_canonical(), 0));
    }
    let (ip, rest) = if let Some(bracketed) = node.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']')?;
        (IpAddr::V6(address.parse().ok()?), rest)
    } else {
        let (address, _) = node.split_once(':')?;
        (
            IpAddr::V4(address.parse().ok()?),
            node.get(address.len()..)?,
        )
    };
    let port = match rest.strip_prefix(':') {
        Some(hidden) if hidden.starts_with('_') => 0,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
        Some(_) => return None,
        None if rest.is_empty() => 0,
        None => return None,
    };
    Some(SocketAddr::new(ip.to_canonical(), port))
}

/// The parts between separators that stand outside quoted strings, trimmed. A quoted string that does not end takes
/// the rest of the text with it.
fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |c| {
        if is_escaped {
            is_escaped = false;
        } else if is_quoted && c == '\\' {
            is_escaped = true;
        } else if c == '"' {
            is_quoted = !is_quoted;
        } else {
            return !is_quoted && c == separator;
        }
        false
    })
    .map(str::trim_ascii)
}

/// An unquoted value, or a quoted string without its quotes and escapes; nothing may follow the closing quote.
fn unquote(text: &str) -> Option<String> {
    let Some(quoted) = text.strip_prefix('"') else {
        return (!text.contains('"')).then(|| text.to_owned());
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return chars.as_str().is_empty().then_some(value),
            '\\' => value.push(chars.next()?),
            other => value.push(other),
        }
    }
}

/// Proxies in a row that are walked past. Real chains have two or three; a longer walk ends at the last one read.
const MAX_HOPS: usize = 32;

#[cfg(test)]
mod tests;
