//! The notation of `tests/vectors/misbehaviour.txt`.
//!
//! `== NAME [OPTION]` begins a case, the lines below say what is sent, `=>` says what RabbitMQ does;
//! `gateway =>` and `shared =>` what a session of the gateway sees, or one on a shared connection, where that is another
//! thing on purpose. `let NAME = ..` names
//! a piece that `<NAME>` stands for, `##` begins a section.
//!
//! What is sent is a row of words:
//! - `1:60.40` a method frame on channel 1, class 60, method 40; `1:H`, `1:B`, `1:T4` a content header, a content body, a
//!   frame of type 4; the payload follows:
//! - `00ff` octets, `=abc` the same in ASCII, `x61*300` an octet 300 times; `'abc'` a short string, `"abc"` a long one;
//!   `{` and `}` around what gets its length of four octets in front, as tables and arrays do;
//! - `?50.11` waits for a method; `.` waits a moment; `@2` goes on with another client's connection;
//! - `$q` in a name is a name that nobody else uses.
//!
//! Option `probe2`: channel 1 will not answer any more. What a case comes to: the methods that came (`1:50.11`), and how
//! it ended (`channel 1 404 60.40 "text"`, `connection 540 60.40 "text"`, `dropped`).

use std::collections::HashMap;

use crate::harness::amqp;
use crate::harness::amqp::Method;

/// One case.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    /// Whether channel 1 can be asked afterwards whether it still answers.
    pub(super) probe: bool,
    words: String,
    /// What RabbitMQ does.
    pub(super) outcome: String,
    /// What any session of the gateway sees, where that is different on purpose.
    pub(super) gateway: Option<String>,
    /// What a session on a shared connection sees, where that is different on purpose.
    pub(super) shared: Option<String>,
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Step {
    Send(Vec<u8>),
    Await(Method),
    Pause,
    /// Go on with this client.
    Client(usize),
}

/// The whole table. Read when it is needed, so that a change of it builds nothing anew.
#[track_caller]
pub(super) fn text() -> String {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/vectors/misbehaviour.txt"
    );
    std::fs::read_to_string(path).expect("the table can be read")
}

/// The cases of one section.
#[track_caller]
pub(super) fn section(name: &str) -> Vec<Case> {
    let text = text();
    let mut pieces = HashMap::new();
    let mut cases: Vec<Case> = Vec::new();
    let mut inside = false;
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(piece) = line.strip_prefix("let ") {
            let (piece, words) = piece.split_once('=').expect("let NAME = WORDS");
            pieces.insert(format!("<{}>", piece.trim()), words.trim().to_owned());
        } else if let Some(section) = line.strip_prefix("## ") {
            inside = section == name;
        } else if let Some(head) = line.strip_prefix("== ").filter(|_| inside) {
            cases.push(Case {
                name: head.trim_end_matches(" [probe2]").to_owned(),
                probe: !head.ends_with(" [probe2]"),
                words: String::new(),
                outcome: String::new(),
                gateway: None,
                shared: None,
            });
        } else if let Some(case) = cases.last_mut().filter(|_| inside) {
            if let Some(outcome) = line.strip_prefix("=> ") {
                outcome.clone_into(&mut case.outcome);
            } else if let Some(outcome) = line.strip_prefix("gateway => ") {
                case.gateway = Some(outcome.to_owned());
            } else if let Some(outcome) = line.strip_prefix("shared => ") {
                case.shared = Some(outcome.to_owned());
            } else {
                case.words.push_str(line);
                case.words.push(' ');
            }
        }
    }
    assert!(!cases.is_empty(), "no section {name}");
    for case in &mut cases {
        for _ in 0..3 {
            for (piece, words) in &pieces {
                case.words = case.words.replace(piece, words);
            }
        }
    }
    cases
}

impl Case {
    /// The steps, with names that begin with `unique`.
    pub(super) fn steps(&self, unique: &str) -> Vec<Step> {
        let mut steps = Steps::default();
        let mut rest = self.words.trim_start();
        while let Some(first) = rest.chars().next() {
            let end = match first {
                '\'' | '"' => rest[1..].find(first).expect("a string ends") + 2,
                _ => rest.find(' ').unwrap_or(rest.len()),
            };
            steps.word(&rest[..end], unique);
            rest = rest[end..].trim_start();
        }
        steps.end_frame();
        steps.done
    }

    /// The names the case uses, without what makes them unique.
    pub(super) fn names(&self) -> Vec<char> {
        let behind = self.words.split('$').skip(1);
        let mut names: Vec<char> = behind.filter_map(|rest| rest.chars().next()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

#[derive(Default)]
struct Steps {
    done: Vec<Step>,
    /// Type and channel of the frame that is being written.
    frame: Option<(u8, u16)>,
    /// Its payload, and above it what is inside `{`.
    payload: Vec<Vec<u8>>,
}

impl Steps {
    fn word(&mut self, word: &str, unique: &str) {
        let numbers = |text: &str| {
            let (class, method) = text.split_once('.')?;
            Some((class.parse().ok()?, method.parse().ok()?))
        };
        if let Some(text) = quoted(word, '\'') {
            let text = octets(text, unique);
            self.put(&[text.len() as u8]);
            self.put(&text);
        } else if let Some(text) = quoted(word, '"') {
            let text = octets(text, unique);
            self.put(&(text.len() as u32).to_be_bytes());
            self.put(&text);
        } else if let Some(text) = word.strip_prefix('=') {
            self.put(text.as_bytes());
        } else if let Some(method) = word.strip_prefix('?') {
            self.step(Step::Await(numbers(method).expect("?CLASS.METHOD")));
        } else if let Some(client) = word.strip_prefix('@') {
            self.step(Step::Client(client.parse().expect("@NUMBER")));
        } else if word == "." {
            self.step(Step::Pause);
        } else if word == "{" {
            self.payload.push(Vec::new());
        } else if matches!(word, "}" | "{}") {
            let inner = if word == "}" {
                self.payload.pop()
            } else {
                None
            }
            .unwrap_or_default();
            self.put(&(inner.len() as u32).to_be_bytes());
            self.put(&inner);
        } else if let Some((octet, times)) = word.strip_prefix('x').and_then(|w| w.split_once('*'))
        {
            let times = times.parse().expect("xOCTET*TIMES");
            self.put(&hexadecimal(octet).repeat(times));
        } else if let Some((channel, kind)) = word.split_once(':') {
            let channel = channel.parse().expect("CHANNEL:");
            match (kind, kind.strip_prefix('T'), numbers(kind)) {
                ("H", ..) => self.begin(amqp::CONTENT_HEADER, channel),
                ("B", ..) => self.begin(amqp::CONTENT_BODY, channel),
                (_, Some(kind), _) => {
                    self.begin(u8::from_str_radix(kind, 16).expect("a type"), channel);
                }
                (.., Some((class, method))) => {
                    self.begin(amqp::METHOD, channel);
                    self.put(&u16::to_be_bytes(class));
                    self.put(&u16::to_be_bytes(method));
                }
                _ => panic!("{word:?} begins no frame"),
            }
        } else {
            self.put(&hexadecimal(word));
        }
    }

    fn begin(&mut self, kind: u8, channel: u16) {
        self.end_frame();
        self.frame = Some((kind, channel));
        self.payload.push(Vec::new());
    }

    fn put(&mut self, bytes: &[u8]) {
        self.payload
            .last_mut()
            .expect("a frame has begun")
            .extend(bytes);
    }

    fn step(&mut self, step: Step) {
        self.end_frame();
        self.done.push(step);
    }

    fn end_frame(&mut self) {
        if let Some((kind, channel)) = self.frame.take() {
            let payload = self.payload.pop().expect("a payload");
            assert!(self.payload.is_empty(), "a brace is not closed");
            let frame = amqp::frame(kind, channel, &payload);
            if let Some(Step::Send(bytes)) = self.done.last_mut() {
                bytes.extend(frame);
            } else {
                self.done.push(Step::Send(frame));
            }
        }
    }
}

fn quoted(word: &str, quote: char) -> Option<&str> {
    word.strip_prefix(quote)?.strip_suffix(quote)
}

fn octets(text: &str, unique: &str) -> Vec<u8> {
    text.replace('$', unique).into_bytes()
}

fn hexadecimal(word: &str) -> Vec<u8> {
    let digit = |digit: u8| {
        (digit as char)
            .to_digit(16)
            .unwrap_or_else(|| panic!("{word:?}"))
    };
    let octets = word.as_bytes().chunks(2);
    octets
        .map(|two| (digit(two[0]) * 16 + digit(two[1])) as u8)
        .collect()
}
