//! Waiting for what others bring about.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::error::Error;

const INTERVAL: Duration = Duration::from_millis(20);

/// Looks every 20 ms until `look` gives a value, for `limit` at most. The limit is there to end a run that has failed: let
/// it be long, and let no test succeed or fail by how fast something is.
///
/// ```no_run
/// # async fn example(cluster: &afresh_testbed::Cluster) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// let answer = afresh_testbed::eventually("two pods", Duration::from_secs(60), async || {
///     let names = cluster.kubectl(&["get", "pods", "-o", "name"]).await?;
///     Ok::<_, afresh_testbed::Error>((names.lines().count() == 2).then_some(names))
/// });
/// println!("{}", answer.await?);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// What `look` fails with, at once; [`Error::TimedOut`].
pub async fn eventually<T, E: From<Error>>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>, E>,
) -> Result<T, E> {
    let started = Instant::now();
    loop {
        if let Some(value) = look().await? {
            return Ok(value);
        }
        if started.elapsed() > limit {
            return Err(Error::TimedOut {
                what: what.to_owned(),
                limit,
                last: "it is not so".to_owned(),
            }
            .into());
        }
        sleep(INTERVAL).await;
    }
}
