//! Logs on standard error, for people or as JSON lines.

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

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
    let info = |_| Targets::new().with_default(LevelFilter::INFO);
    let filter = targets(filter).unwrap_or_else(info);
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(LevelFilter::TRACE);
    match format {
        Format::Json => builder.json().flatten_event(true).finish().with(filter).init(),
        Format::Text => {
            use std::io::IsTerminal as _;
            let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let builder = builder.with_ansi(colours).with_target(false);
            builder.finish().with(filter).init();
        }
    }
}

/// The levels by crate: spaces around a directive are no part of it.
fn targets(text: &str) -> Result<Targets, ParseError> {
    let directives: Vec<&str> = text.split(',').map(str::trim).collect();
    directives.join(",").parse()
}

fn filter(text: &str) -> Result<String, String> {
    // A word alone would be taken for the name of a crate, and silence everything else.
    let is_level = |word: &str| !word.is_empty() && word.parse::<LevelFilter>().is_ok();
    let fine = |directive: &str| directive.contains('=') || is_level(directive.trim());
    let parses = text.split(',').all(fine) && targets(text).is_ok();
    parses.then(|| text.to_owned()).ok_or_else(|| {
        format!("{text:?} is no log level: write error, warn, info, debug or trace, or info,afresh_k8s=debug")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_refused_rather_than_taken_for_a_crate() {
        for text in [
            "info",
            "WARN",
            "off",
            "info,afresh_k8s=debug",
            "info, afresh_k8s=debug",
            "afresh_engine=trace",
        ] {
            assert_eq!(filter(text).as_deref(), Ok(text));
        }
        for text in ["inof", "loud", "", "info,afresh_k8s", "info,afresh_k8s=loud"] {
            assert!(
                filter(text).is_err_and(|message| message.contains("write error, warn, info")),
                "{text}"
            );
        }
    }
}
