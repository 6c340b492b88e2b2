//! Web applications: files and pages through `[[web.applications]]`, beside nginx in the same place, which puts the same tag
//! into pages by text (`sub_filter`) and compresses them itself.

use std::fs;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use tokio::io::AsyncWriteExt;

use crate::load::Sample;
use crate::process::end_with_the_bench;
use crate::process::Process;
use crate::report::pages as report;
use crate::Plan;

/// What is asked for, and what the answer must have in it.
#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    path: &'static str,
    bytes: usize,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Passed on as it is.
    File,
    /// Gets the script.
    Page,
    /// The same, compressed at the origin and towards the browser.
    Compressed,
}

const ROWS: &[Row] = &[
    Row {
        name: "file of 1 KiB",
        path: "/small",
        bytes: 1 << 10,
        kind: Kind::File,
    },
    Row {
        name: "file of 1 MiB",
        path: "/large",
        bytes: 1 << 20,
        kind: Kind::File,
    },
    Row {
        name: "page of 16 KiB",
        path: "/page",
        bytes: 16 << 10,
        kind: Kind::Page,
    },
    Row {
        name: "page of 16 KiB, gzip",
        path: "/gzip",
        bytes: 16 << 10,
        kind: Kind::Compressed,
    },
];

/// Every row: the origin alone, nginx, the gateway, in turn.
pub(crate) fn run(
    plan: &Plan,
    asked: &impl Fn(&str) -> bool,
    out: &mut impl Write,
) -> io::Result<()> {
    let named = |row: &&Row| asked(&format!("pages: {}", row.name));
    if !ROWS.iter().any(|row| named(&row)) {
        return Ok(());
    }
    let origin = Process::origin()?;
    let folder = Folder::new()?;
    let Some(nginx) = nginx(origin.address(), &folder.0)? else {
        return writeln!(out, "\npages: nginx is missing, nothing is compared");
    };
    let smeuse = Process::gateway_before(origin.address())?;
    let lanes = [&origin, &nginx, &smeuse];
    report::head(out)?;
    for row in ROWS.iter().filter(named) {
        let mut samples = [const { Vec::new() }; 3];
        for round in 0..plan.rounds {
            for turn in 0..3 {
                let lane = (round + turn) % 3;
                samples[lane].push(ask(row, lanes[lane], lane > 0, plan.each)?);
            }
        }
        report::row(out, &format!("pages: {}", row.name), &samples)?;
    }
    Ok(())
}

/// Browsers' connections ask one after the other, each as fast as it is answered.
fn ask(row: &Row, at: &Process, is_changed: bool, each: Duration) -> io::Result<Sample> {
    let (row, address) = (*row, at.address());
    let before = at.cpu()?;
    let start = Instant::now();
    let asking: Vec<_> = (0..CONNECTIONS)
        .map(|_| thread::spawn(move || connection(row, address, is_changed, start + each)))
        .collect();
    let mut messages = 0;
    for one in asking {
        messages += one
            .join()
            .map_err(|_| io::Error::other("a connection panicked"))??;
    }
    Ok(Sample {
        messages,
        elapsed: start.elapsed(),
        cpu: at.cpu()? - before,
        latencies: Vec::new(),
    })
}

fn connection(row: Row, at: SocketAddr, is_changed: bool, until: Instant) -> io::Result<u64> {
    let mut stream = BufReader::with_capacity(64 << 10, TcpStream::connect(at)?);
    stream.get_ref().set_nodelay(true)?;
    stream.get_ref().set_read_timeout(Some(ANSWER_DEADLINE))?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {at}\r\nSec-Fetch-Dest: document\r\nAccept-Encoding: gzip\r\n\r\n",
        row.path
    );
    let mut answers = 0;
    while Instant::now() < until {
        stream.get_mut().write_all(request.as_bytes())?;
        let body = answer(&mut stream)?;
        let is_right = match (row.kind, is_changed) {
            (Kind::File, _) | (Kind::Page, false) => body.len() == row.bytes,
            (Kind::Page, true) => body.starts_with(BEGINNING) && body.len() > row.bytes,
            // One is enough to see that the tag is there.
            (Kind::Compressed, true) if answers == 0 => has_tag(&body)?,
            // The two magic bytes of RFC 1952 section 2.3.1.
            (Kind::Compressed, _) => body.starts_with(b"\x1f\x8b"),
        };
        if !is_right {
            return Err(io::Error::other(format!("a wrong answer at {}", row.path)));
        }
        answers += 1;
    }
    Ok(answers)
}

/// Whether a compressed page has the tag.
fn has_tag(body: &[u8]) -> io::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let page = runtime.block_on(async {
        let mut decoder = async_compression::tokio::write::GzipDecoder::new(Vec::new());
        decoder.write_all(body).await?;
        decoder.shutdown().await?;
        Ok::<_, io::Error>(decoder.into_inner())
    })?;
    Ok(page.starts_with(&[BEGINNING, b"<script src"].concat()))
}

/// Reads an answer with a length or in chunks.
fn answer(stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let head = head(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(io::Error::other(format!("no answer: {head}")));
    }
    let lower = head.to_ascii_lowercase();
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
    let mut body = Vec::new();
    if let Some(length) = length {
        body.resize(length, 0);
        stream.read_exact(&mut body)?;
        return Ok(body);
    }
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let chunk = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        let end = body.len() + chunk;
        body.resize(end + 2, 0);
        stream.read_exact(&mut body[end - chunk..])?;
        body.truncate(end);
        if chunk == 0 {
            return Ok(body);
        }
    }
}

fn head(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(head))
}

/// The application's own server, until the bench ends: every answer is made before.
pub(crate) fn origin() -> io::Result<()> {
    end_with_the_bench();
    let answers = ROWS.iter().map(|row| Ok((row.path, made(row)?)));
    let answers: Arc<Vec<_>> = Arc::new(answers.collect::<io::Result<_>>()?);
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    writeln!(io::stdout(), "listening {}", listener.local_addr()?)?;
    for socket in listener.incoming() {
        let (socket, answers) = (socket?, Arc::clone(&answers));
        thread::spawn(move || {
            socket.set_nodelay(true)?;
            let mut stream = BufReader::new(socket);
            while let Some(head) = head(&mut stream)? {
                let path = head.split(' ').nth(1).unwrap_or_default();
                let found = answers.iter().find(|(known, _)| *known == path);
                let (_, [plain, compressed]) = found.ok_or(io::ErrorKind::NotFound)?;
                let takes_gzip = head.to_ascii_lowercase().contains("accept-encoding: gzip");
                let answer = if takes_gzip { compressed } else { plain };
                stream.get_mut().write_all(answer)?;
            }
            Ok::<_, io::Error>(())
        });
    }
    Ok(())
}

/// The answer to who takes no compression, and to who does.
fn made(row: &Row) -> io::Result<[Vec<u8>; 2]> {
    let kind = match row.kind {
        Kind::File => "image/png",
        Kind::Page | Kind::Compressed => "text/html",
    };
    let mut body = BEGINNING.to_vec();
    body.extend_from_slice(b"</head><body>");
    let mut number = 0_u32;
    while body.len() < row.bytes {
        body.extend_from_slice(format!("<p class=\"item\">Item {number} of many</p>\n").as_bytes());
        number += 1;
    }
    body.truncate(row.bytes);
    let with_head = |lines: &str, body: &[u8]| {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{lines}Content-Length: {length}\r\n\r\n"
        );
        [head.as_bytes(), body].concat()
    };
    let plain = with_head("", &body);
    if row.kind != Kind::Compressed {
        return Ok([plain.clone(), plain]);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let compressed = runtime.block_on(async {
        let mut encoder = async_compression::tokio::write::GzipEncoder::new(Vec::new());
        encoder.write_all(&body).await?;
        encoder.shutdown().await?;
        Ok::<_, io::Error>(encoder.into_inner())
    })?;
    Ok([plain, with_head("Content-Encoding: gzip\r\n", &compressed)])
}

/// nginx with one process, as a team would set it up; none if there is none here.
fn nginx(origin: SocketAddr, folder: &PathBuf) -> io::Result<Option<Process>> {
    let program = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/bin/nginx"]
        .into_iter()
        .find(|path| fs::exists(path).unwrap_or(false));
    let Some(program) = program else {
        return Ok(None);
    };
    // Free a moment ago: nginx takes no port 0.
    let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
    let tag = "<script src=\"/_smeuse/smeuse.js\" integrity=\"sha384-x\"></script>";
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {kind};"))
        .concat();
    let text = format!(
        "daemon off; master_process off; pid pid; error_log stderr error;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; {temporary} keepalive_requests 100000000;\n\
         upstream application {{ server {origin}; keepalive 32; keepalive_requests 100000000; }}\n\
         server {{ listen {address}; location / {{ proxy_pass http://application; proxy_http_version 1.1;\n\
         proxy_set_header Connection \"\"; proxy_set_header Accept-Encoding \"\"; proxy_set_header Host $http_host;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
         sub_filter '<head>' '<head>{tag}'; sub_filter_once on;\n\
         location /gzip {{ proxy_pass http://application; gzip on; gzip_comp_level 4; gzip_proxied any; }} }} }} }}\n"
    );
    fs::write(folder.join("nginx.conf"), text)?;
    let mut command = Command::new(program);
    command
        .arg("-p")
        .arg(folder)
        .args(["-c", "nginx.conf", "-e", "stderr"])
        .stderr(Stdio::null());
    Process::start_at(command, address).map(Some)
}

/// A folder that goes with the run.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("smeuse-bench-nginx-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How every body begins.
const BEGINNING: &[u8] = b"<!doctype html><html><head>";
/// Connections that ask at once.
const CONNECTIONS: usize = 16;
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
