//! What changes while the gateway runs, without a signal: the configuration file, and the folder of modules for pages.
//!
//! Both are looked at every second, each by a thread of its own. A file system that hangs holds up that thread and
//! nothing else, the end of the process included: the runtime would wait for threads of its own.

use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::web::library::Mark;
use crate::web::Library;

/// Looks at the folder of modules as long as the gateway runs.
///
/// # Errors
///
/// If there can be no thread.
pub(super) fn look_at_modules(library: Library) -> io::Result<()> {
    every_second("modules", move || {
        library.look(Instant::now());
        true
    })
}

/// Looks at the configuration file as long as the gateway runs, and says when it is another one that has stood still for
/// a second; `changed` answers whether it wants to be told again.
///
/// # Errors
///
/// If there can be no thread.
pub(super) fn look_at_file(
    path: PathBuf,
    mut changed: impl FnMut() -> bool + Send + 'static,
) -> io::Result<()> {
    let mut file = WatchedFile::default();
    every_second("file", move || {
        !file.is_changed(Mark::read(&path)) || changed()
    })
}

/// The configuration file, as far as one can see without reading it. It may have changed since the settings were read
/// from it, so what is there first counts as changed.
#[derive(Default)]
struct WatchedFile {
    taken: Option<Mark>,
    seen: Option<Mark>,
}

impl WatchedFile {
    /// Takes what another look has found.
    fn is_changed(&mut self, mark: Option<Mark>) -> bool {
        let is_settled = mark == self.seen;
        self.seen.clone_from(&mark);
        let is_changed = is_settled && mark.is_some() && mark != self.taken;
        if is_changed {
            self.taken = mark;
        }
        is_changed
    }
}

/// Does something every second for as long as it says so, on a thread that nobody waits for.
fn every_second(name: &str, mut look: impl FnMut() -> bool + Send + 'static) -> io::Result<()> {
    let thread = thread::Builder::new().name(name.to_owned());
    let running = thread.spawn(move || loop {
        thread::sleep(LOOK);
        if !look() {
            return;
        }
    });
    running.map(drop)
}

/// Between two looks. Changes are a person's doing, or a deployment's.
const LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_there_first_counts_as_changed_and_then_only_changes_do() {
        let path = std::env::temp_dir().join(format!("smeuse-watch-{}", std::process::id()));
        let look = |file: &mut WatchedFile| file.is_changed(Mark::read(Path::new(&path)));
        let mut file = WatchedFile::default();
        assert!(!look(&mut file));
        fs::write(&path, "one").unwrap();
        // It may still be being written to.
        assert!(!look(&mut file));
        assert!(look(&mut file));
        assert!(!look(&mut file));
        fs::write(&path, "another").unwrap();
        assert!(!look(&mut file));
        assert!(look(&mut file));
        fs::remove_file(&path).unwrap();
        assert!(!look(&mut file));
        assert!(!look(&mut file));
    }
}
