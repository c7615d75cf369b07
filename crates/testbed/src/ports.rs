//! Free ports on loopback.

use std::net::TcpListener;

use crate::error::{Error, Result};

/// Below Linux's ephemeral ports (32768 and up), so that no outgoing connection takes the port of a stopped server.
const RANGE: std::ops::Range<u16> = 12_000..32_000;

/// `N` free ports on 127.0.0.1, each another. They were free a moment ago: a server that cannot bind says so in its log.
pub(crate) fn free<const N: usize>() -> Result<[u16; N]> {
    let mut ports = [0; N];
    let mut held = Vec::with_capacity(N);
    for port in &mut ports {
        let listener = (0..200)
            .find_map(|_| TcpListener::bind(("127.0.0.1", random()?)).ok())
            .ok_or(Error::NoPort)?;
        *port = listener.local_addr().map_err(|_| Error::NoPort)?.port();
        held.push(listener);
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
