//! The crash of a program under test, at any await.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Runs a future and drops it at its `polls`-th suspension, as a crash at that await would.
///
/// Returns its output if it ended before. A future counts only its own suspensions: of tasks that it spawned, only
/// those end with it that it owns (a `JoinSet`, say). To crash between a request and its answer, see
/// [`RequestFault::Crash`](crate::RequestFault::Crash).
pub async fn crash_at<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    Crashing {
        left: polls,
        future: Some(Box::pin(future)),
    }
    .await
}

struct Crashing<F: Future> {
    left: usize,
    future: Option<Pin<Box<F>>>,
}

impl<F: Future> Future for Crashing<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = self.future.as_mut() else {
            return Poll::Ready(None);
        };
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.left <= 1 => {
                self.future = None;
                Poll::Ready(None)
            }
            Poll::Pending => {
                self.left -= 1;
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test]
    async fn a_future_is_dropped_at_the_await_asked_for_and_ends_if_there_are_fewer() {
        let reached = Cell::new(0);
        let program = || async {
            for step in 1..=3 {
                reached.set(step);
                tokio::task::yield_now().await;
            }
            "done"
        };
        assert_eq!(crash_at(2, program()).await, None);
        assert_eq!(reached.get(), 2);
        assert_eq!(crash_at(9, program()).await, Some("done"));
    }
}
