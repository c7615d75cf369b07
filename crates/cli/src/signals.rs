//! SIGTERM and SIGINT end a program in good order; a second one ends it at once.

use tokio::signal::unix::{SignalKind, signal};

/// Ready when the program is asked to end.
///
/// # Errors
/// If the signals cannot be caught.
pub(crate) fn asked_to_end() -> std::io::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            afresh_agent::complain("afresh: asked to end a second time: ending at once");
            std::process::exit(130);
        });
    })
}
