//! One HTML page on its way to a browser: the library's script becomes the first thing in its head.
//!
//! Bytes in, bytes out, as they come. What is not sure to be a whole document passes as it is. When the head is over
//! the rest is no longer looked at, and a tag that is longer than the limit ends the looking as well.

use std::cell::Cell;
use std::cell::RefCell;
use std::rc::Rc;

use lol_html::doctype;
use lol_html::element;
use lol_html::html_content::ContentType;
use lol_html::html_content::Element;
use lol_html::HandlerResult;
use lol_html::HtmlRewriter;
use lol_html::MemorySettings;
use lol_html::OutputSink;
use lol_html::Settings;

/// What became of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The script is in it.
    Inserted,
    /// It does not look like a whole document.
    Fragment,
    /// It is UTF-16, in which a script of ASCII is none.
    Charset,
    /// A tag before the place of the script is longer than the limit.
    TooLong,
}

/// A page that is being rewritten.
pub struct Page {
    rewriter: Option<HtmlRewriter<'static, Sink>>,
    output: Rc<RefCell<Vec<u8>>>,
    progress: Rc<Cell<Progress>>,
    /// The first bytes, until they can be a byte order mark.
    first: Option<Vec<u8>>,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Nothing says yet that this is a document.
    Unsure,
    /// It is one; the place for the script has not come.
    Document,
    Inserted,
    Fragment,
}

struct Sink(Rc<RefCell<Vec<u8>>>);

impl OutputSink for Sink {
    fn handle_chunk(&mut self, chunk: &[u8]) {
        self.0.borrow_mut().extend_from_slice(chunk);
    }
}

impl Page {
    /// A page into which `tag` goes; `path` is the script's, so that a copy that the page's head has already can be taken
    /// out.
    ///
    /// `is_document` if the browser says that it asked for one; otherwise the page itself must look like one.
    /// `limit`: bytes of a tag that are held until it is complete.
    pub fn new(tag: String, path: &'static str, is_document: bool, limit: usize) -> Self {
        let output = Rc::new(RefCell::new(Vec::new()));
        let progress = Rc::new(Cell::new(if is_document {
            Progress::Document
        } else {
            Progress::Unsure
        }));
        let (seen, place) = (Rc::clone(&progress), Rc::clone(&progress));
        let memory = MemorySettings::new()
            .with_max_allowed_memory_usage(limit)
            .with_graceful_bail_out_on_memory_limit_exceeded(true);
        let settings = Settings::new()
            .with_strict(false)
            .with_memory_settings(memory)
            .with_graceful_bail_out_on_content_handler_error(true)
            .append_document_content_handler(doctype!(move |_| {
                if seen.get() == Progress::Unsure {
                    seen.set(Progress::Document);
                }
                Ok(())
            }))
            .append_element_content_handler(element!("*", move |element| {
                handle(element, &place, &tag, path)
            }));
        Self {
            rewriter: Some(HtmlRewriter::new(settings, Sink(Rc::clone(&output)))),
            output,
            progress,
            first: Some(Vec::new()),
            outcome: Outcome::Fragment,
        }
    }

    /// What the browser gets for these bytes of the origin's; some of it may come with later ones.
    pub fn write(&mut self, bytes: &[u8]) -> Vec<u8> {
        if let Some(mut first) = self.first.take() {
            first.extend_from_slice(bytes);
            if first.len() < MARK {
                self.first = Some(first);
                return Vec::new();
            }
            return self.begin(&first);
        }
        self.rewrite(bytes)
    }

    /// The last bytes, and what became of the page.
    pub fn end(mut self) -> (Vec<u8>, Outcome) {
        let mut last = match self.first.take() {
            Some(first) => self.begin(&first),
            None => Vec::new(),
        };
        if let Some(rewriter) = self.rewriter.take() {
            // What it held is in the output by now, whatever it says.
            let _ = rewriter.end();
            last.append(&mut self.output.take());
        }
        (last, self.outcome())
    }

    /// What became of the page so far.
    pub fn outcome(&self) -> Outcome {
        match self.progress.get() {
            Progress::Inserted => Outcome::Inserted,
            _ => self.outcome,
        }
    }

    fn begin(&mut self, first: &[u8]) -> Vec<u8> {
        if first.starts_with(b"\xfe\xff") || first.starts_with(b"\xff\xfe") {
            self.outcome = Outcome::Charset;
            self.rewriter = None;
        }
        self.rewrite(first)
    }

    fn rewrite(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Some(rewriter) = &mut self.rewriter else {
            return bytes.to_vec();
        };
        if rewriter.write(bytes).is_err() {
            // Our own handler ended it, or a tag was too long. Either way all bytes have gone out.
            self.rewriter = None;
            if self.progress.get() == Progress::Document {
                self.outcome = Outcome::TooLong;
            }
        }
        self.output.take()
    }
}

/// One start tag. An error ends the looking.
fn handle(
    element: &mut Element<'_, '_>,
    progress: &Cell<Progress>,
    tag: &str,
    path: &str,
) -> HandlerResult {
    let name = element.tag_name();
    if progress.get() == Progress::Unsure {
        if !DOCUMENT.contains(&name.as_str()) {
            progress.set(Progress::Fragment);
            return Err(Box::new(Over));
        }
        progress.set(Progress::Document);
    }
    if progress.get() == Progress::Document {
        match name.as_str() {
            "html" => return Ok(()),
            "head" => {
                element.prepend(tag, ContentType::Html);
                progress.set(Progress::Inserted);
                return Ok(());
            }
            _ => {
                element.before(tag, ContentType::Html);
                progress.set(Progress::Inserted);
            }
        }
    } else if !HEAD.contains(&name.as_str()) {
        return Err(Box::new(Over));
    }
    let is_copy = name == "script"
        && element
            .get_attribute("src")
            .is_some_and(|address| is_address_of(&address, path));
    if is_copy {
        element.remove();
    }
    Ok(())
}

/// Whether the address of a script, as a page writes it, has this path: with or without host and query.
fn is_address_of(address: &str, path: &str) -> bool {
    let address = address.trim();
    let address = address.split(['?', '#']).next().unwrap_or_default();
    let after_host = match address.split_once("//") {
        Some((scheme, rest)) if scheme.is_empty() || scheme.ends_with(':') => {
            rest.find('/').map_or("", |at| &rest[at..])
        }
        _ => address,
    };
    after_host == path
}

/// The place has come and gone.
#[derive(Debug, thiserror::Error)]
#[error("nothing more to do")]
struct Over;

/// What a whole document without a doctype begins with.
const DOCUMENT: [&str; 5] = ["html", "head", "body", "title", "frameset"];

/// What belongs into a head; anything else ends it (HTML section 13.2.6.4.4).
const HEAD: [&str; 12] = [
    "html", "head", "meta", "title", "link", "script", "style", "base", "noscript", "template",
    "basefont", "bgsound",
];

/// Bytes of the longest mark that matters here.
const MARK: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "<script src=\"/lib.js\"></script>";

    fn page(is_document: bool) -> Page {
        Page::new(TAG.to_owned(), "/lib.js", is_document, 4_096)
    }

    fn rewrite(html: &[u8], is_document: bool, step: usize) -> (String, Outcome) {
        let mut page = page(is_document);
        let mut output = Vec::new();
        for chunk in html.chunks(step) {
            output.extend(page.write(chunk));
        }
        let (last, outcome) = page.end();
        output.extend(last);
        (String::from_utf8_lossy(&output).into_owned(), outcome)
    }

    #[test]
    fn the_script_is_the_first_thing_in_the_head_wherever_bytes_are_cut() {
        let table = [
            (
                "<!doctype html><html><head><script>1</script></head>",
                "<!doctype html><html><head>@<script>1</script></head>",
            ),
            (
                "<html lang=en>\n<HEAD>\n<title>",
                "<html lang=en>\n<HEAD>@\n<title>",
            ),
            (
                "<!-- <head> --><!DOCTYPE html><meta charset=utf-8><script src=a.js></script>",
                "<!-- <head> --><!DOCTYPE html>@<meta charset=utf-8><script src=a.js></script>",
            ),
            ("<!doctype html><p>no head", "<!doctype html>@<p>no head"),
            (
                "<!doctype html><body onload=x><script>1</script>",
                "<!doctype html>@<body onload=x><script>1</script>",
            ),
            (
                "<title>t</title><script>1</script>",
                "@<title>t</title><script>1</script>",
            ),
            (
                "<frameset><frame src=a></frameset>",
                "@<frameset><frame src=a></frameset>",
            ),
            (
                "\u{feff}<html><head></head>",
                "\u{feff}<html><head>@</head>",
            ),
            // What only looks like a head is none.
            (
                "<!doctype html><html><!-- <head> --><head></head><body><head>",
                "<!doctype html><html><!-- <head> --><head>@</head><body><head>",
            ),
        ];
        for (html, expected) in table {
            for step in [1, 2, 7, 4_096] {
                let expected = expected.replace('@', TAG);
                assert_eq!(
                    rewrite(html.as_bytes(), false, step),
                    (expected, Outcome::Inserted),
                    "{html} by {step}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_whole_document_passes_unless_the_browser_asked_for_one() {
        for html in [
            "<li>one</li>",
            "<script>1</script>",
            "text",
            "",
            "<",
            "{\"a\":\"<b>\"}",
        ] {
            for step in [1, 4_096] {
                let passed = (html.to_owned(), Outcome::Fragment);
                assert_eq!(rewrite(html.as_bytes(), false, step), passed);
            }
        }
        let (html, outcome) = rewrite(b"<script>1</script><p>", true, 4_096);
        assert_eq!(html, format!("{TAG}<script>1</script><p>"));
        assert_eq!(outcome, Outcome::Inserted);
    }

    #[test]
    fn a_copy_in_the_head_is_taken_out() {
        for address in [
            "/lib.js",
            " /lib.js?v=1",
            "https://app.example/lib.js",
            "//app.example/lib.js#x",
        ] {
            let html = format!("<head><meta charset=a><script src=\"{address}\" defer></script><base href=x></head><p>");
            let expected = format!("<head>{TAG}<meta charset=a><base href=x></head><p>");
            for step in [1, 4_096] {
                assert_eq!(
                    rewrite(html.as_bytes(), false, step).0,
                    expected,
                    "{address}"
                );
            }
        }
        for other in [
            "/other/lib.js",
            "lib.js",
            "/lib.js/",
            "https://app.example/a/lib.js",
        ] {
            let html = format!("<head><script src=\"{other}\"></script></head>");
            assert!(
                rewrite(html.as_bytes(), false, 4_096).0.contains(other),
                "{other}"
            );
        }
    }

    #[test]
    fn utf_16_passes_as_it_is() {
        for html in [
            &b"\xff\xfe<\0h\0t\0m\0l\0>\0"[..],
            b"\xfe\xff\0<\0h\0t\0m\0l\0>",
        ] {
            let mut page = page(true);
            let mut output = page.write(&html[..1]);
            output.extend(page.write(&html[1..]));
            let (last, outcome) = page.end();
            output.extend(last);
            assert_eq!((&output[..], outcome), (html, Outcome::Charset));
        }
    }

    #[test]
    fn bytes_that_are_no_utf_8_survive() {
        let html = b"<html><head><title>\xe9\xff</title></head><p>\xe9";
        let mut page = page(true);
        let mut output = page.write(html);
        output.extend(page.end().0);
        let mut expected = b"<html><head>".to_vec();
        expected.extend(TAG.as_bytes());
        expected.extend(b"<title>\xe9\xff</title></head><p>\xe9");
        assert_eq!(output, expected);
    }

    #[test]
    fn a_tag_beyond_the_limit_ends_the_looking_and_loses_nothing() {
        let html = format!(
            "<!doctype html><html data-x=\"{}\"><head>",
            "y".repeat(100_000)
        );
        assert_eq!(
            rewrite(html.as_bytes(), true, 1_000),
            (html, Outcome::TooLong)
        );
        let html = format!("<head></head><p data-x=\"{}\">", "y".repeat(100_000));
        let (output, outcome) = rewrite(html.as_bytes(), true, 1_000);
        assert_eq!(output.len(), html.len() + TAG.len());
        assert_eq!(outcome, Outcome::Inserted);
    }

    #[test]
    fn the_rest_of_a_long_page_comes_as_it_goes() {
        let mut page = page(true);
        page.write(b"<html><head></head><body>");
        for _ in 0..10 {
            let part = vec![b'x'; 10_000];
            assert_eq!(page.write(&part), part);
        }
    }
}
