//! Waiting for what others bring about.

use std::fmt::Display;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::error::Error;

const INTERVAL: Duration = Duration::from_millis(20);

/// Looks every 20 ms until `look` gives a value and not what it saw instead, for `limit` at most: of a wait in vain the error
/// tells what was there at the end. The limit is there to end a run that has failed: let it be long, and let no test succeed
/// or fail by how fast something is.
///
/// ```no_run
/// # async fn example(cluster: &afresh_testbed::Cluster) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// let answer = afresh_testbed::eventually("two pods", Duration::from_secs(60), async || {
///     let names = cluster.kubectl(&["get", "pods", "-o", "name"]).await?;
///     Ok::<_, afresh_testbed::Error>(if names.lines().count() == 2 { Ok(names) } else { Err(names) })
/// });
/// println!("{}", answer.await?);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// What `look` fails with, at once; [`Error::TimedOut`].
pub async fn eventually<T, S: Display, E: From<Error>>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<Result<T, S>, E>,
) -> Result<T, E> {
    let started = Instant::now();
    loop {
        let seen = match look().await? {
            Ok(value) => return Ok(value),
            Err(seen) => seen,
        };
        if started.elapsed() > limit {
            return Err(Error::TimedOut {
                what: what.to_owned(),
                limit,
                last: seen.to_string(),
            }
            .into());
        }
        sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_in_vain_tells_what_was_seen_last() {
        let mut looks = 0;
        let look = async || {
            looks += 1;
            Ok::<Result<(), String>, Error>(Err(format!("{looks} pods")))
        };
        let error = eventually("three pods", Duration::from_millis(1), look)
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("three pods did not come about within 1ms: "), "{text}");
        assert!(text.ends_with(&format!("{looks} pods")), "{text}");
    }
}
