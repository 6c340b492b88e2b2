//! A worker's script or a module that opens sockets itself: the line that loads the library, before all else.

/// How a script takes in another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loader {
    /// A module: `import`, which goes first wherever it stands.
    Module,
    /// A classic worker: `importScripts`, which runs where it stands.
    Worker,
}

/// A script that is being rewritten.
#[derive(Debug)]
pub struct Script {
    line: String,
    kind: Loader,
    /// The beginning, until it shows whether the script is in strict mode.
    held: Option<Vec<u8>>,
}

impl Script {
    /// A script that is to load what is at `address`.
    pub fn new(kind: Loader, address: &str) -> Self {
        let line = match kind {
            Loader::Module => format!("import \"{address}\";"),
            Loader::Worker => format!("importScripts(\"{address}\");"),
        };
        Self {
            line,
            kind,
            held: Some(Vec::new()),
        }
    }

    /// What the browser gets for these bytes of the origin's.
    pub fn write(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Some(mut held) = self.held.take() else {
            return bytes.to_vec();
        };
        held.extend_from_slice(bytes);
        match self.place(&held) {
            Place { is_sure: false, .. } if held.len() < HELD => {
                self.held = Some(held);
                Vec::new()
            }
            place => self.with_line(&held, place),
        }
    }

    /// The last bytes.
    pub fn end(mut self) -> Vec<u8> {
        let Some(mut held) = self.held.take() else {
            return Vec::new();
        };
        // A statement that ends with the script ends as one that ends with its line.
        let length = held.len();
        held.extend_from_slice(b"\n;");
        let place = self.place(&held);
        if place.at <= length {
            held.truncate(length);
        }
        self.with_line(&held, place)
    }

    /// Where the line goes, as far as it can be told.
    fn place(&self, script: &[u8]) -> Place {
        let at = beginning(script);
        let is_strict = match (at, self.kind) {
            (Some(at), Loader::Worker) => is_strict(&script[at..]),
            _ => Some(false),
        };
        Place {
            at: at.unwrap_or_default(),
            is_strict: is_strict.unwrap_or_default(),
            is_sure: at.is_some() && is_strict.is_some(),
        }
    }

    /// The line shares a line of the script, so that no other line gets a new number. A byte order mark stays first.
    fn with_line(&self, script: &[u8], place: Place) -> Vec<u8> {
        let (before, behind) = script.split_at(place.at);
        let directive = if place.is_strict {
            "\"use strict\";"
        } else {
            ""
        };
        [before, directive.as_bytes(), self.line.as_bytes(), behind].concat()
    }
}

/// Where the line goes, and whether it has to begin the directive prologue.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: usize,
    is_strict: bool,
    /// Whether what comes cannot change it.
    is_sure: bool,
}

/// Where a script begins, behind a byte order mark and a line that begins with `#!` (ECMA-262 section 12.5); none if more has
/// to come to tell.
fn beginning(script: &[u8]) -> Option<usize> {
    if MARK.starts_with(script) && script.len() < MARK.len() {
        return None;
    }
    let mark = if script.starts_with(MARK) {
        MARK.len()
    } else {
        0
    };
    match &script[mark..] {
        [] | [b'#'] => None,
        rest @ [b'#', b'!', ..] => {
            let end = rest.iter().position(|byte| is_line_end(*byte))?;
            Some(mark + end + 1)
        }
        _ => Some(mark),
    }
}

/// Whether a script begins with the directive `'use strict'`, alone or among others (ECMA-262 section 11.2.1); none if more
/// has to come to tell.
fn is_strict(script: &[u8]) -> Option<bool> {
    let mut rest = script;
    loop {
        (rest, _) = skip_space(rest)?;
        let [quote @ (b'\'' | b'"'), text @ ..] = rest else {
            return (!rest.is_empty()).then_some(false);
        };
        let Literal::Ends(length) = literal(text, *quote)? else {
            return Some(false);
        };
        let (text, behind) = (&text[..length], &text[length + 1..]);
        let (next, has_line_end) = skip_space(behind)?;
        rest = match next {
            [] => return None,
            [b';', next @ ..] => next,
            _ if has_line_end && !goes_on(next)? => next,
            // It is part of an expression.
            _ => return Some(false),
        };
        if text == b"use strict" {
            return Some(true);
        }
    }
}

enum Literal {
    /// Its closing quote stands here.
    Ends(usize),
    /// It does not end in its line.
    Broken,
}

fn literal(text: &[u8], quote: u8) -> Option<Literal> {
    let mut is_escaped = false;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            byte if *byte == quote => return Some(Literal::Ends(at)),
            byte if is_line_end(*byte) => return Some(Literal::Broken),
            _ => {}
        }
    }
    None
}

/// What follows white space and comments, and whether a line ended in them; none if a comment goes on.
fn skip_space(script: &[u8]) -> Option<(&[u8], bool)> {
    let mut rest = script;
    loop {
        rest = rest.trim_ascii_start();
        let end = match rest {
            [b'/'] => return None,
            [b'/', b'/', text @ ..] => text.iter().position(|byte| is_line_end(*byte))? + 2,
            [b'/', b'*', text @ ..] => text.windows(2).position(|pair| pair == b"*/")? + 4,
            _ => break,
        };
        rest = &rest[end..];
    }
    let skipped = &script[..script.len() - rest.len()];
    Some((rest, skipped.iter().any(|byte| is_line_end(*byte))))
}

/// Whether the expression of the line before goes on here, so that no semicolon is put between (ECMA-262 section 12.10).
fn goes_on(script: &[u8]) -> Option<bool> {
    Some(match script {
        [b'+' | b'-' | b'!'] => return None,
        [b'+', b'+', ..] | [b'-', b'-', ..] => false,
        [b'!', next, ..] => *next == b'=',
        [first, ..] if OPERATORS.contains(first) => true,
        _ => {
            for word in [&b"in"[..], b"instanceof"] {
                if word.starts_with(script) {
                    return None;
                }
                let behind = script.strip_prefix(word).and_then(<[u8]>::first);
                if behind.is_some_and(|byte| !is_of_name(*byte)) {
                    return Some(true);
                }
            }
            false
        }
    })
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'\\') || !byte.is_ascii()
}

/// What continues an expression.
const OPERATORS: &[u8] = b".,([`+-*/%&|^<>=?";

/// Bytes that are held to see whether a script is strict: a licence in front of it may be long.
const HELD: usize = 16 * 1024;
/// The byte order mark of UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(kind: Loader, script: &str, step: usize) -> String {
        let mut rewriting = Script::new(kind, "/l.js");
        let mut output = Vec::new();
        for chunk in script.as_bytes().chunks(step) {
            output.extend(rewriting.write(chunk));
        }
        output.extend(rewriting.end());
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn the_line_comes_first_and_strict_mode_stays() {
        let table = [
            ("let a", "@let a"),
            ("", "@"),
            (
                "// c\n/* d */ 'use strict'; a",
                "\"use strict\";@// c\n/* d */ 'use strict'; a",
            ),
            ("\"use strict\"\na", "\"use strict\";@\"use strict\"\na"),
            ("'use strong'", "@'use strong'"),
            (
                "\"use client\"; 'use strict'; a",
                "\"use strict\";@\"use client\"; 'use strict'; a",
            ),
            (
                "'a\\'b' // c\n'use strict'\nin_a",
                "\"use strict\";@'a\\'b' // c\n'use strict'\nin_a",
            ),
            ("'use strict'\n++a", "\"use strict\";@'use strict'\n++a"),
            ("'use strict'\n!a", "\"use strict\";@'use strict'\n!a"),
            ("'use strict'\ni", "\"use strict\";@'use strict'\ni"),
            ("'use strict'.length", "@'use strict'.length"),
            ("'use strict'\n/* c */ in a", "@'use strict'\n/* c */ in a"),
            ("'use strict'\n!= a", "@'use strict'\n!= a"),
            ("'use strict' + a", "@'use strict' + a"),
            ("'use\\x20strict'; a", "@'use\\x20strict'; a"),
            ("'use strict\n", "@'use strict\n"),
            ("#!/bin/x\nlet a", "#!/bin/x\n@let a"),
            (
                "\u{feff}#!x\r'use strict';a",
                "\u{feff}#!x\r\"use strict\";@'use strict';a",
            ),
            ("#!/bin/x", "#!/bin/x\n@;"),
            ("#", "@#"),
            ("\u{feff}", "\u{feff}@"),
            ("\u{feff}let a", "\u{feff}@let a"),
            ("/* unfinished", "@/* unfinished"),
            ("/re/.test(a)", "@/re/.test(a)"),
        ];
        for (script, expected) in table {
            for step in [1, 3, 4_096] {
                let worker = expected.replace('@', "importScripts(\"/l.js\");");
                assert_eq!(rewrite(Loader::Worker, script, step), worker);
            }
        }
        assert_eq!(
            rewrite(Loader::Module, "'use strict'\nexport {}", 2),
            "import \"/l.js\";'use strict'\nexport {}"
        );
    }

    #[test]
    fn a_long_comment_is_not_held_for_ever() {
        let script = format!("/*{}", "x".repeat(HELD));
        let mut rewriting = Script::new(Loader::Worker, "/l.js");
        assert!(rewriting.write(script.as_bytes()).ends_with(b"xxx"));
        assert_eq!(rewriting.write(b"more"), b"more");
        // The line still goes where it belongs.
        let script = format!("#!x\n/*{}", "x".repeat(HELD));
        let mut rewriting = Script::new(Loader::Worker, "/l.js");
        let written = rewriting.write(script.as_bytes());
        assert!(written.starts_with(b"#!x\nimportScripts"));
    }
}
