//! What is served after looks at a folder that a test writes.

use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use super::*;
use crate::web::library::folder;

/// A folder of a test's own with the shelf that looks at it, and a clock.
struct Desk {
    folder: PathBuf,
    shelf: Shelf,
    now: Instant,
}

impl Desk {
    fn new() -> Self {
        static DESKS: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "smeuse-shelf-{}-{}",
            std::process::id(),
            DESKS.fetch_add(1, Ordering::Relaxed)
        );
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self {
            folder,
            shelf: Shelf::default(),
            now: Instant::now(),
        }
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.folder.join(name), content).unwrap();
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.folder.join(name)).unwrap();
    }

    fn look(&mut self) -> Vec<Change> {
        self.now += Duration::from_secs(1);
        let found = folder::list(&self.folder).unwrap();
        let folder = &self.folder;
        let read = |name: &str, mark: &Mark| folder::read(folder, name, mark);
        self.shelf.look(found, read, self.now)
    }

    fn served(&self, path: &str) -> Option<String> {
        let assets = self.shelf.assets();
        let content = assets.get(path).map(|asset| asset.content.to_vec());
        content.map(|content| String::from_utf8(content).unwrap())
    }

    fn hashed(&self, name: &str) -> String {
        self.shelf.find(name).unwrap().0.to_owned()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn added(name: &str) -> Vec<Change> {
    vec![Change::Added(name.to_owned())]
}

#[test]
fn a_file_counts_once_it_has_stood_still() {
    let mut desk = Desk::new();
    desk.write("acme.js", "half");
    assert_eq!(desk.look(), []);
    desk.write("acme.js", "half and half");
    assert_eq!(desk.look(), []);
    assert_eq!(desk.served("acme.js"), None);
    assert_eq!(desk.look(), added("acme"));
    assert_eq!(desk.served("acme.js").as_deref(), Some("half and half"));
    assert_eq!(desk.look(), []);
}

#[test]
fn a_version_that_was_replaced_stays_for_a_while_where_its_content_is_named() {
    let mut desk = Desk::new();
    desk.write("acme.js", "one");
    desk.look();
    desk.look();
    let first = desk.hashed("acme");
    desk.write("acme.js", "another");
    assert_eq!(desk.look(), []);
    assert_eq!(desk.served("acme.js").as_deref(), Some("one"));
    assert_eq!(desk.look(), [Change::Replaced("acme".to_owned())]);
    let second = desk.hashed("acme");
    assert_ne!(first, second);
    assert_eq!(desk.served("acme.js").as_deref(), Some("another"));
    assert_eq!(desk.served(&second).as_deref(), Some("another"));
    assert_eq!(desk.served(&first).as_deref(), Some("one"));
    desk.now += KEPT;
    assert!(desk.shelf.forget(desk.now));
    assert_eq!(desk.served(&first), None);
    assert_eq!(desk.served(&second).as_deref(), Some("another"));
}

#[test]
fn versions_that_were_replaced_are_bounded() {
    let mut desk = Desk::new();
    for version in 0..RETIRED + 10 {
        desk.write("acme.js", &format!("version {version:04}"));
        desk.look();
        desk.look();
    }
    assert_eq!(desk.shelf.retired.len(), RETIRED);
    assert_eq!(desk.shelf.assets().len(), RETIRED + 2);
}

#[test]
fn what_cannot_be_used_takes_nothing_away_and_is_told_once() {
    let mut desk = Desk::new();
    desk.write("acme.js", "good");
    desk.look();
    assert_eq!(desk.look(), added("acme"));
    let much = " ".repeat(usize::try_from(folder::MODULE_BYTES).unwrap() + 1);
    for (content, fault) in [("", Fault::Empty), (&much, Fault::TooLarge)] {
        desk.write("acme.js", content);
        assert_eq!(desk.look(), []);
        let refused = Change::Refused("acme".to_owned(), fault);
        assert_eq!(desk.look(), [refused]);
        assert_eq!(desk.look(), []);
        assert_eq!(desk.served("acme.js").as_deref(), Some("good"));
    }
    desk.write("acme.js", "good again");
    desk.look();
    assert_eq!(desk.look(), [Change::Replaced("acme".to_owned())]);
    // A file that nobody is using and that nobody can use is not served either.
    desk.write("other.js", "");
    desk.look();
    desk.look();
    assert_eq!(desk.served("other.js"), None);
}

#[test]
fn a_file_that_is_away_for_a_moment_is_not_gone() {
    let mut desk = Desk::new();
    desk.write("acme.js", "one");
    desk.look();
    desk.look();
    let path = desk.hashed("acme");
    desk.remove("acme.js");
    assert_eq!(desk.look(), []);
    assert_eq!(desk.served("acme.js").as_deref(), Some("one"));
    desk.write("acme.js", "one");
    assert_eq!(desk.look(), []);
    assert_eq!(desk.look(), []);
    desk.remove("acme.js");
    desk.look();
    assert_eq!(desk.look(), [Change::Removed("acme".to_owned())]);
    assert_eq!(desk.served("acme.js"), None);
    assert_eq!(desk.served(&path).as_deref(), Some("one"));
    assert!(desk.shelf.find("acme").is_none());
}

#[test]
fn there_are_not_more_than_a_gateway_can_keep() {
    let mut desk = Desk::new();
    for module in 0..=MODULES {
        desk.write(&format!("acme-{module:03}.js"), "x");
    }
    desk.look();
    let changes = desk.look();
    let refused = Change::Refused(format!("acme-{MODULES:03}"), Fault::TooMany);
    assert_eq!(changes.last(), Some(&refused));
    assert_eq!(desk.shelf.count(), MODULES);
}

#[test]
fn the_start_takes_what_is_there_and_stops_at_what_is_too_large() {
    let mut desk = Desk::new();
    desk.write("acme.js", "one");
    desk.write("being-written.js", "");
    let folder = desk.folder.clone();
    let read = |name: &str, mark: &Mark| folder::read(&folder, name, mark);
    let found = folder::list(&folder).unwrap();
    assert_eq!(desk.shelf.fill(found, read), Ok(()));
    assert_eq!(desk.served("acme.js").as_deref(), Some("one"));
    assert_eq!(desk.shelf.count(), 1);
    let much = " ".repeat(usize::try_from(folder::MODULE_BYTES).unwrap() + 1);
    desk.write("large.js", &much);
    let found = folder::list(&folder).unwrap();
    let error = Err(("large".to_owned(), Fault::TooLarge));
    assert_eq!(Shelf::default().fill(found, read), error);
}
