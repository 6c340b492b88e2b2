//! The folder of modules as the file system has it: what is there, and the content of one file.

use std::collections::BTreeMap;
use std::fs;
use std::fs::Metadata;
use std::io;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use crate::web::library::shelf::Fault;

/// By what a file that was written to, or replaced, is told from what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    device: u64,
    inode: u64,
    length: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Mark {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// The mark of a file; none if there is no file there.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        metadata.is_file().then(|| Self::of(&metadata))
    }
}

/// The files that are named like modules, by the name of their extension.
pub(super) fn list(folder: &Path) -> io::Result<BTreeMap<String, Mark>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(stem) = name.and_then(stem_of_module) else {
            continue;
        };
        // Opening a named pipe would wait for a writer, so only files count; one that has just gone does not.
        if let Some(mark) = Mark::read(&path) {
            found.insert(stem.to_owned(), mark);
        }
        if found.len() >= LISTED {
            break;
        }
    }
    Ok(found)
}

/// Reads one module, if it is still what it was when it was marked.
pub(super) fn read(folder: &Path, name: &str, mark: &Mark) -> Result<Vec<u8>, Fault> {
    let unreadable = |error: io::Error| Fault::Unreadable(error.to_string());
    if mark.length > MODULE_BYTES {
        return Err(Fault::TooLarge);
    }
    let path: PathBuf = folder.join(format!("{name}.js"));
    let mut file = fs::File::open(path).map_err(unreadable)?;
    let mut content = Vec::new();
    let most = MODULE_BYTES + 1;
    let read = Read::by_ref(&mut file).take(most).read_to_end(&mut content);
    read.map_err(unreadable)?;
    let after = file.metadata().map_err(unreadable)?;
    if Mark::of(&after) != *mark || content.len() as u64 != mark.length {
        return Err(Fault::Unsettled);
    }
    if content.is_empty() {
        return Err(Fault::Empty);
    }
    Ok(content)
}

/// `name.js`, where the name is one that an extension can have and a path need not encode.
fn stem_of_module(name: &str) -> Option<&str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let stem = name.strip_suffix(".js")?;
    (!stem.is_empty() && stem.len() <= NAME_BYTES && stem.bytes().all(is_plain)).then_some(stem)
}

/// The largest module, in bytes. All of them stay in memory, and every page loads those it is told of.
pub(super) const MODULE_BYTES: u64 = 1024 * 1024;

const NAME_BYTES: usize = 100;

/// Files that are looked at, at most: more than are ever served.
const LISTED: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_modules_are_those_of_extensions() {
        for (name, stem) in [
            ("acme-stamp.js", Some("acme-stamp")),
            ("a.b_c.js", Some("a.b_c")),
            (".js", None),
            ("acme-stamp.mjs", None),
            ("acme stamp.js", None),
            ("acme%2f.js", None),
            ("é.js", None),
        ] {
            assert_eq!(stem_of_module(name), stem, "{name}");
        }
    }
}
