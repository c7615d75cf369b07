//! The one thread that starts every component.
//!
//! A component asks the kernel to be killed with its parent, and for the kernel the parent is the *thread* that started
//! it: a test's own thread ends with the test. This one lives as long as the process, so that components do, and no longer.

use std::future::Future;
use std::sync::OnceLock;
use std::thread;

use tokio::runtime::{Builder, Handle};

use crate::error::{Error, Result};

static KEEPER: OnceLock<Option<Handle>> = OnceLock::new();

fn start() -> Option<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build().ok()?;
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name("testbed".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))
        .ok()?;
    Some(handle)
}

/// The handle of the keeper's runtime, which has that single thread.
pub(crate) fn handle() -> Result<&'static Handle> {
    KEEPER.get_or_init(start).as_ref().ok_or(Error::ShuttingDown)
}

/// Runs `future` on the keeper's thread. It goes on when the caller stops waiting.
pub(crate) async fn run<T: Send + 'static>(future: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    handle()?.spawn(future).await.map_err(|_| Error::ShuttingDown)?
}
