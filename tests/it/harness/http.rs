//! HTTP/1.1 answers, read byte by byte as they come, and one-shot requests to the admin listener.

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;

use super::DEADLINE;

/// No answer the gateway gives has a longer head.
const MAX_HEAD: usize = 16 * 1024;

/// An answer: the head, and the body as far as its length or the end of the socket says.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Response {
    /// The value of a header that must come at most once; names are compared without case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(
            values.next().is_none(),
            "header {name} came twice: {:?}",
            self.headers
        );
        value
    }
}

/// Sends one request and reads the whole answer.
///
/// # Errors
/// Whatever the socket says; a gateway that is gone refuses the connection.
pub(crate) fn request(address: SocketAddr, method: &str, path: &str) -> io::Result<Response> {
    let mut socket = TcpStream::connect_timeout(&address, DEADLINE)?;
    socket.set_read_timeout(Some(DEADLINE))?;
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )?;
    match method {
        // RFC 9110 section 9.3.2: the head of an answer to GET, and nothing behind it.
        "HEAD" => {
            let mut response = read_head(&mut socket)?;
            socket.read_to_string(&mut response.body)?;
            Ok(response)
        }
        _ => read_response(&mut socket),
    }
}

/// Reads a head without taking a byte more than it, then the body. A 101 has no body.
///
/// # Errors
/// The socket's error, its end before the head is complete, or a head that is not HTTP.
pub(crate) fn read_response(stream: &mut impl Read) -> io::Result<Response> {
    let mut response = read_head(stream)?;
    if response.status != 101 {
        response.body = read_body(stream, &response)?;
    }
    Ok(response)
}

fn read_head(stream: &mut impl Read) -> io::Result<Response> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
        if head.len() > MAX_HEAD {
            return Err(invalid("the head of the answer does not end"));
        }
    }
    let head =
        String::from_utf8(head).map_err(|_| invalid("the head of the answer is not UTF-8"))?;
    let mut lines = head.trim_end().split("\r\n");
    let mut status_line = lines.next().unwrap_or_default().split(' ');
    // A request in HTTP/1.0 may be answered in it.
    if !matches!(status_line.next(), Some("HTTP/1.1" | "HTTP/1.0")) {
        return Err(invalid("the answer is not HTTP/1"));
    }
    let status = status_line
        .next()
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| invalid("the answer has no status"))?;
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| invalid("a header line without colon"))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    Ok(Response {
        status,
        headers,
        body: String::new(),
    })
}

fn read_body(stream: &mut impl Read, head: &Response) -> io::Result<String> {
    let mut body = Vec::new();
    if head
        .header("Transfer-Encoding")
        .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
    {
        read_chunks(stream, &mut body)?;
    } else if let Some(length) = head.header("Content-Length") {
        let length = length
            .parse()
            .map_err(|_| invalid("a length that is no number"))?;
        body.resize(length, 0);
        stream.read_exact(&mut body)?;
    } else if head.status != 204 {
        stream.read_to_end(&mut body)?;
    }
    String::from_utf8(body).map_err(|_| invalid("the body is not UTF-8"))
}

fn read_chunks(stream: &mut impl Read, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let line = read_line(stream)?;
        let length = usize::from_str_radix(line.trim(), 16)
            .map_err(|_| invalid("a chunk without length"))?;
        let start = body.len();
        body.resize(start + length, 0);
        stream.read_exact(&mut body[start..])?;
        read_line(stream)?;
        if length == 0 {
            return Ok(());
        }
    }
}

fn read_line(stream: &mut impl Read) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    String::from_utf8(line).map_err(|_| invalid("a line that is not UTF-8"))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
