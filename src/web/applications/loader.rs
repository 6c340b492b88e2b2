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
        match prologue(&held) {
            Prologue::Unsure if held.len() < HELD => {
                self.held = Some(held);
                Vec::new()
            }
            Prologue::Strict if self.kind == Loader::Worker => {
                self.with_line(&held, "\"use strict\";")
            }
            _ => self.with_line(&held, ""),
        }
    }

    /// The last bytes.
    pub fn end(mut self) -> Vec<u8> {
        match self.held.take() {
            Some(held) => self.with_line(&held, ""),
            None => Vec::new(),
        }
    }

    /// The line shares the first line of the script, so that no other line gets a new number. A byte order mark stays first.
    fn with_line(&self, script: &[u8], directive: &str) -> Vec<u8> {
        let (mark, rest) = match script.strip_prefix(MARK) {
            Some(rest) => (MARK, rest),
            None => (&b""[..], script),
        };
        [mark, directive.as_bytes(), self.line.as_bytes(), rest].concat()
    }
}

enum Prologue {
    /// Only white space and comments so far.
    Unsure,
    Strict,
    Sloppy,
}

/// Whether a script begins with the directive `'use strict'`, behind white space and comments (ECMA-262 section 11.2.1).
fn prologue(script: &[u8]) -> Prologue {
    if MARK.starts_with(script) {
        return Prologue::Unsure;
    }
    let mut rest = script.strip_prefix(MARK).unwrap_or(script);
    loop {
        rest = rest.trim_ascii_start();
        let end = if rest.starts_with(b"//") {
            rest.iter().position(|byte| *byte == b'\n').map(|at| at + 1)
        } else if rest.starts_with(b"/*") {
            let end = rest[2..].windows(2).position(|pair| pair == b"*/");
            end.map(|at| at + 4)
        } else {
            break;
        };
        match end {
            Some(end) => rest = &rest[end..],
            None => return Prologue::Unsure,
        }
    }
    for directive in [&b"'use strict'"[..], b"\"use strict\""] {
        if rest.starts_with(directive) {
            return Prologue::Strict;
        }
        if directive.starts_with(rest) {
            return Prologue::Unsure;
        }
    }
    if rest == b"/" {
        return Prologue::Unsure;
    }
    Prologue::Sloppy
}

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
    }
}
