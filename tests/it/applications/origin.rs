//! A scripted origin that records what it gets, and raw requests to the gateway in front of it.

use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::thread;

use crate::harness::DEADLINE;

/// A request as the origin got it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    /// First line and headers, as they came.
    pub(crate) head: String,
    /// The body without its framing.
    pub(crate) body: Vec<u8>,
    /// Whether the body came to its end.
    pub(crate) is_whole: bool,
}

impl Request {
    /// The first line.
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// The path.
    pub(crate) fn path(&self) -> &str {
        self.line().split(' ').nth(1).unwrap_or_default()
    }

    /// The value of a header that came at most once.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'));
        let mut values = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.trim());
        assert!(values.next().is_none(), "{name} came twice: {}", self.head);
        value
    }
}

/// What an origin does with a request; false ends the connection.
type Script = dyn Fn(&mut Request, &mut BufReader<TcpStream>) -> bool + Send + Sync;

/// An origin on a port of its own, until the test ends.
pub(crate) struct Origin {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
}

impl Origin {
    /// An origin that answers each request, read to its end, with these bytes; none close the connection.
    pub(crate) fn answering(script: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start(move |request, stream| {
            request.is_whole = read_body(&request.head, stream, &mut request.body).is_ok();
            if !request.is_whole {
                return false;
            }
            let answer = script(request);
            !answer.is_empty() && stream.get_mut().write_all(&answer).is_ok()
        })
    }

    /// An origin that does what the script says with the socket behind each head.
    pub(crate) fn start(
        script: impl Fn(&mut Request, &mut BufReader<TcpStream>) -> bool + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let connections = Arc::<AtomicUsize>::default();
        let closed = Arc::<AtomicUsize>::default();
        let ends = Arc::clone(&closed);
        let script: Arc<Script> = Arc::new(script);
        let (records, count) = (Arc::clone(&requests), Arc::clone(&connections));
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let (records, script) = (Arc::clone(&records), Arc::clone(&script));
                let ends = Arc::clone(&ends);
                thread::spawn(move || {
                    serve(socket, &records, &*script);
                    ends.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self {
            address,
            requests,
            connections,
            closed,
        }
    }

    /// How many connections are over.
    pub(crate) fn closed(&self) -> usize {
        self.closed.load(Ordering::SeqCst)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it got so far, heads whose bodies were never whole included.
    pub(crate) fn requests(&self) -> Vec<Request> {
        lock(&self.requests).clone()
    }

    /// The only request.
    #[track_caller]
    pub(crate) fn only(&self) -> Request {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests[0].clone()
    }

    /// How many connections it accepted.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn serve(socket: TcpStream, records: &Mutex<Vec<Request>>, script: &Script) {
    socket
        .set_read_timeout(Some(3 * DEADLINE))
        .expect("a deadline");
    socket
        .set_write_timeout(Some(3 * DEADLINE))
        .expect("a deadline");
    socket.set_nodelay(true).expect("TCP_NODELAY");
    let mut stream = BufReader::new(socket);
    while let Ok(head) = read_head(&mut stream) {
        let mut request = Request {
            head,
            ..Request::default()
        };
        let at = {
            let mut records = lock(records);
            records.push(request.clone());
            records.len() - 1
        };
        // The body's record comes first, so that whoever has the answer finds it.
        let mut recorded = request.clone();
        let goes_on = script(&mut request, &mut stream);
        recorded.body = request.body;
        recorded.is_whole = request.is_whole;
        lock(records)[at] = recorded;
        if !goes_on {
            return;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads to the empty line.
pub(crate) fn read_head(stream: &mut impl BufRead) -> io::Result<String> {
    let mut head = String::new();
    loop {
        let before = head.len();
        if stream.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if matches!(&head[before..], "\r\n" | "\n") {
            return Ok(head);
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// Reads a body by what the head says of it.
pub(crate) fn read_body(
    head: &str,
    stream: &mut impl BufRead,
    body: &mut Vec<u8>,
) -> io::Result<()> {
    if header(head, "transfer-encoding")
        .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
    {
        return read_chunks(stream, body);
    }
    if let Some(length) = header(head, "content-length") {
        let length = length.parse().map_err(|_| io::ErrorKind::InvalidData)?;
        body.resize(length, 0);
        return stream.read_exact(body);
    }
    Ok(())
}

fn read_chunks(stream: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let length =
            usize::from_str_radix(line.trim(), 16).map_err(|_| io::ErrorKind::InvalidData)?;
        if length == 0 {
            // Trailers, and the empty line.
            read_head(stream)?;
            return Ok(());
        }
        let start = body.len();
        body.resize(start + length, 0);
        stream.read_exact(&mut body[start..])?;
        stream.read_line(&mut String::new())?;
    }
}

/// An answer of the gateway's.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One connection to the gateway.
pub(crate) struct Raw(BufReader<TcpStream>);

impl Raw {
    #[track_caller]
    pub(crate) fn connect(gateway: SocketAddr) -> Self {
        let socket = TcpStream::connect_timeout(&gateway, DEADLINE).expect("the gateway accepts");
        socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        socket
            .set_write_timeout(Some(DEADLINE))
            .expect("a deadline");
        socket.set_nodelay(true).expect("TCP_NODELAY");
        Self(BufReader::new(socket))
    }

    /// Sends bytes; a gateway that has hung up is no error here.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.get_mut().write_all(bytes.as_ref());
    }

    /// The next head; none if the gateway closed.
    pub(crate) fn head(&mut self) -> Option<(u16, String)> {
        let head = read_head(&mut self.0).ok()?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, head))
    }

    /// The next answer to a GET and the like; none if it does not come whole.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        let (status, head) = self.head()?;
        let mut body = Vec::new();
        let is_framed = header(&head, "content-length").is_some()
            || header(&head, "transfer-encoding").is_some();
        if matches!(status, 204 | 304) {
            return Some(Answer { status, head, body });
        }
        if is_framed {
            read_body(&head, &mut self.0, &mut body).ok()?;
        } else {
            self.0.read_to_end(&mut body).ok()?;
        }
        Some(Answer { status, head, body })
    }

    /// Everything up to the end.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = self.0.read_to_end(&mut rest);
        rest
    }

    /// Exactly so many bytes.
    #[track_caller]
    pub(crate) fn exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).expect("the bytes come");
        bytes
    }

    /// Whether the gateway has closed, without waiting for longer than the deadline.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.0.fill_buf(), Ok([]))
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        self.0.get_ref()
    }
}

/// One request on a connection of its own, and its answer.
#[track_caller]
pub(crate) fn exchange(gateway: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
    let mut raw = Raw::connect(gateway);
    raw.send(request);
    raw.answer().expect("an answer")
}

/// A GET with these further lines, each with its end.
#[track_caller]
pub(crate) fn get(gateway: SocketAddr, path: &str, lines: &str) -> Answer {
    exchange(
        gateway,
        format!("GET {path} HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n{lines}\r\n"),
    )
}

/// An answer with this body and its length.
pub(crate) fn ok(lines: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\n{lines}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// A page with this body.
pub(crate) fn page(lines: &str, body: &str) -> Vec<u8> {
    ok(
        &format!("Content-Type: text/html; charset=utf-8\r\n{lines}"),
        body,
    )
}

/// A configuration with one application in front of this origin, and an echo service.
pub(crate) fn configuration(origin: &Origin, lines: &str) -> String {
    let address = origin.address();
    format!(
        "[[web.applications]]\nname = \"app\"\norigin = \"http://{address}\"\n{lines}\n{}",
        crate::harness::configuration::echo()
    )
}
