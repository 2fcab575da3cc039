//! Signals: Ctrl-C, and a limit on the size of files.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::failure::{Failure, STOPPED};

/// A flag that the first Ctrl-C, or request to terminate, raises. A second one ends the process at once.
pub(crate) fn stop_flag() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let register = |signal| -> io::Result<()> {
        // They run in this order: the first time, the flag is not up yet for the one that ends.
        flag::register_conditional_shutdown(signal, STOPPED.into(), Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
        Ok(())
    };
    [SIGINT, SIGTERM]
        .into_iter()
        .try_for_each(register)
        .map_err(|error| Failure::Failed(format!("cannot listen for Ctrl-C: {error}")))?;
    Ok(stop)
}

/// A file that would grow beyond a limit is an error of its writing, which names it, and not the end of the
/// process.
pub(crate) fn outlive_limits() {
    // Where it cannot be had, the process ends as it would have.
    #[cfg(unix)]
    let _ = flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
}
