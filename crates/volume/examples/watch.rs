//! Prints what happens to the given paths: `cargo run -p afresh-volume --example watch -- PATH...`

use afresh_volume::{WatchError, WatchOptions, Watcher};

fn main() -> Result<(), WatchError> {
    let mut watcher = Watcher::new(std::env::args_os().skip(1), WatchOptions::default());
    if let Some(reason) = watcher.degraded() {
        eprintln!("changes are found by polling only: {reason}");
    }
    for (path, state) in watcher.states() {
        println!("{} {state:?}", path.display());
    }
    loop {
        if let Some(event) = watcher.wait(None)? {
            println!("{} {:?}", event.path.display(), event.change);
        }
    }
}
