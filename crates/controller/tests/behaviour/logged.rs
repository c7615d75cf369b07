//! What is logged while a test runs, on its own thread.

use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing::level_filters::LevelFilter;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Listens until it is dropped.
pub(crate) struct Logged {
    lines: Lines,
    _listening: DefaultGuard,
}

impl Logged {
    /// From the finest level on.
    pub(crate) fn everything() -> Self {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_writer(lines.clone())
            .with_ansi(false)
            .finish();
        let _listening = tracing::subscriber::set_default(subscriber);
        Self { lines, _listening }
    }

    /// What of it contains these words.
    pub(crate) fn lines(&self, words: &str) -> Vec<String> {
        let bytes = self.lines.0.lock().unwrap();
        let text = std::str::from_utf8(&bytes).unwrap();
        text.lines()
            .filter(|line| line.contains(words))
            .map(ToOwned::to_owned)
            .collect()
    }
}
