//! Free ports on loopback.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};

/// Below Linux's ephemeral ports (32768 and up), so that no outgoing connection takes the port of a stopped server.
const RANGE: std::ops::Range<u16> = 12_000..32_000;

/// What this process has handed out: a port is free again before its server binds it, so another cluster could get it, too.
static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// `N` free ports on 127.0.0.1, each another, and none that this process was given before. They were free a moment ago: a
/// server that cannot bind says so in its log.
///
/// # Errors
/// [`Error::NoPort`].
pub fn free<const N: usize>() -> Result<[u16; N]> {
    let mut ports = [0; N];
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    for port in &mut ports {
        let unused = |port: &u16| !taken.contains(port) && TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let mut candidates = (0..200).filter_map(|_| random());
        *port = candidates.find(unused).ok_or(Error::NoPort)?;
        taken.insert(*port);
    }
    Ok(ports)
}

fn random() -> Option<u16> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).ok()?;
    Some(RANGE.start + u16::from_le_bytes(bytes) % (RANGE.end - RANGE.start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice_though_nobody_has_bound_it_yet() {
        let given: Vec<_> = (0..400).flat_map(|_| free::<3>().expect("ports")).collect();
        let different: BTreeSet<_> = given.iter().collect();
        assert_eq!(different.len(), given.len());
    }

    #[test]
    fn ports_differ_and_can_be_bound() {
        let ports: [u16; 3] = free().expect("ports");
        assert!(ports.iter().all(|port| RANGE.contains(port)));
        let listeners: Vec<_> = ports
            .iter()
            .map(|port| TcpListener::bind(("127.0.0.1", *port)))
            .collect();
        assert!(listeners.iter().all(std::result::Result::is_ok), "{listeners:?}");
    }
}
