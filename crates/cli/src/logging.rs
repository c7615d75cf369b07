//! Logs on standard error, for people or as JSON lines.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How logs look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

/// Flags that every long-running subcommand has.
#[derive(Debug, clap::Args)]
pub(crate) struct LogArgs {
    /// What is logged: error, warn, info, debug or trace; or a filter such as info,afresh_k8s=debug
    #[arg(long, env = "AFRESH_LOG_LEVEL", default_value = "info", value_parser = filter)]
    log_level: String,
    /// How it looks
    #[arg(long, env = "AFRESH_LOG_FORMAT", default_value = "text", value_enum)]
    log_format: Format,
}

impl LogArgs {
    /// Begins logging. To be called once.
    pub(crate) fn begin(&self) {
        begin(&self.log_level, self.log_format);
    }
}

/// Begins logging what the filter lets through. To be called once.
pub(crate) fn begin(filter: &str, format: Format) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter);
    match format {
        Format::Json => builder.json().flatten_event(true).init(),
        Format::Text => {
            use std::io::IsTerminal as _;
            let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            builder.with_ansi(colours).with_target(false).init();
        }
    }
}

fn filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|_| format!("{text:?} is no log level: write error, warn, info, debug or trace"))
}
