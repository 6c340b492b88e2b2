//! The runtime of lapin's tasks, apart from the workers: a worker that is busy or ends must not leave lapin hanging.

use std::io;
use std::sync::OnceLock;

use tokio::runtime::Builder;
use tokio::runtime::Handle;
use tokio::runtime::Runtime;

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// The handle of the process's one runtime for lapin; started with one thread when it is first asked for.
///
/// # Errors
/// If the system gives no thread.
pub fn handle() -> io::Result<Handle> {
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime.handle().clone());
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("smeuse-lapin")
        .enable_all()
        .build()?;
    // Who comes second uses the first one's; its own is shut down without waiting.
    if let Err(spare) = RUNTIME.set(runtime) {
        spare.shutdown_background();
    }
    RUNTIME
        .get()
        .map(|runtime| runtime.handle().clone())
        .ok_or_else(|| io::Error::other("the runtime was not kept"))
}
