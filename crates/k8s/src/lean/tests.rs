//! Every decoder against what the API writes, and against what it never should.

mod config;
mod csi;
mod hostile;
mod page;
mod workload;
