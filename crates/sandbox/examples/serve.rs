//! Serves a sandbox until it is interrupted: `cargo run -p afresh-sandbox --example serve -- 127.0.0.1:8001`.

use std::net::SocketAddr;

use afresh_sandbox::{Options, Sandbox};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address: SocketAddr = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:0".to_owned())
        .parse()?;
    let serving = Sandbox::start(&Options::default()).serve(address).await?;
    println!("kubectl --server {} get pods", serving.url());
    tokio::signal::ctrl_c().await?;
    Ok(())
}
