//! `afresh demo`: a small Kubernetes in this process, the real controller against it, and what they do, as it happens.
//!
//! [`stage`] is where it plays, [`script`] what is done, [`observer`] sees what comes of it, [`show`] plays and judges,
//! [`page`] prints.

mod observer;
mod page;
mod picture;
mod reads;
mod script;
mod show;
mod stage;
mod summary;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::signals;
use page::Page;
use show::Show;
use stage::{Link, NAMESPACE, Stage};

/// Where the terminal does not say how wide it is.
const WIDTH: usize = 100;

/// The flags of `afresh demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Everything runs in this process, on loopback addresses and in one temporary directory, and ends with it.

Exit status of --once: 0 if every step came out exactly as it should, 1 otherwise.")]
pub(crate) struct Args {
    /// Play the script and end, instead of staying up for you to try things
    #[arg(long, env = "AFRESH_DEMO_ONCE")]
    once: bool,
    /// The loopback port of the API server; 0 for a free one
    #[arg(long, env = "AFRESH_DEMO_PORT", default_value_t = 0, value_name = "PORT")]
    port: u16,
    /// Show the controller's log on standard error as well; RUST_LOG chooses what of it
    #[arg(long, env = "AFRESH_DEMO_VERBOSE")]
    verbose: bool,
}

/// Plays until it is over, or until it is asked to end.
pub(crate) fn main(args: &Args) -> anyhow::Result<ExitCode> {
    begin_log(args.verbose);
    // Outlives the runtime, so that nothing writes into it any more when it is removed.
    let directory = tempfile::Builder::new()
        .prefix("afresh-demo-")
        .tempdir()
        .context("cannot make a directory")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start")?;
    let result = runtime.block_on(async {
        let end = signals::asked_to_end().context("cannot catch signals")?;
        let mut closed = signal(SignalKind::hangup()).context("cannot catch signals")?;
        tokio::select! {
            code = play(args, directory.path()) => code,
            _ = closed.recv() => Ok(ExitCode::FAILURE), // the terminal is gone
            () = end => Ok(if args.once { ExitCode::FAILURE } else { ExitCode::SUCCESS }),
        }
    });
    drop(runtime);
    drop(directory);
    match result {
        // Somebody who looks at the first lines only has seen enough.
        Err(error) if is_closed_pipe(&error) => Ok(ExitCode::FAILURE),
        result => result,
    }
}

async fn play(args: &Args, directory: &Path) -> anyhow::Result<ExitCode> {
    let width = terminal_size::terminal_size().map_or(WIDTH, |(width, _)| usize::from(width.0));
    let mut page = Page::new(Box::new(anstream::stdout()), width);
    let stage = Stage::open(Link::Http(args.port), directory.to_owned()).await?;
    introduce(&mut page, &stage, directory)?;
    stage.populate()?;
    let mut show = Show::new(stage, page);
    show.warm_up().await?;
    let judgement = show.play_all(&script::script()).await?;
    if args.once {
        let code = if judgement.is_good() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
        return Ok(code);
    }
    invite(&mut show)?;
    show.watch_on().await?;
    Ok(ExitCode::SUCCESS)
}

fn introduce(page: &mut Page, stage: &Stage, directory: &Path) -> std::io::Result<()> {
    page.plain("Afresh demo: a small Kubernetes in this process, and the real controller against it over HTTP.")?;
    page.dim("The node keeps volumes as a kubelet does: by itself it refreshes them every 60 to 90 s.")?;
    page.blank()?;
    page.entry("API", &stage.url())?;
    page.entry("volumes", &directory.join("pods").display().to_string())?;
    page.blank()?;
    page.entry(
        "web",
        "3 pods, files of configmap/web and secret/web-tls; the application rereads them (hot)",
    )?;
    page.entry(
        "api",
        "2 pods, variables of configmap/api and of configmap/flags-0 to flags-9",
    )?;
    page.entry("shop", "2 pods, a file (hot) and a variable, both of configmap/shop")?;
    page.entry("report", "1 pod, another variable of configmap/shop")?;
    page.entry("plain", "1 pod, files of configmap/web; not opted in, for comparison")
}

/// What a person can do now.
fn invite(show: &mut Show) -> std::io::Result<()> {
    let url = show.stage.url();
    let kubectl = format!("kubectl --server {url} --namespace {NAMESPACE}");
    let object = format!("{url}/api/v1/namespaces/{NAMESPACE}/configmaps/web");
    let mut lines = vec![
        format!("{kubectl} edit configmap web"),
        format!("{kubectl} get pods --watch"),
        format!(
            "{} why deployment/shop --server {url} --namespace {NAMESPACE}",
            program()
        ),
    ];
    lines.extend(
        show.file_of("web", "motd")
            .map(|file| format!("cat {}", file.display())),
    );
    let page = &mut show.page;
    page.title("Now you. In another terminal:")?;
    for line in lines {
        page.verbatim(&format!("  {line}"))?;
    }
    page.plain("or, without kubectl:")?;
    page.verbatim(&format!("  curl -so /dev/null -X PATCH {object} \\"))?;
    page.verbatim(r#"    -H 'content-type: application/merge-patch+json' -d '{"data":{"motd":"Hello you"}}'"#)?;
    page.blank()?;
    page.dim("Ctrl-C ends everything. Until then, what happens is told here.")
}

/// This program, as it was called.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "afresh".to_owned())
}

/// Nothing is logged between the lines of the demo, unless one asks.
fn begin_log(verbose: bool) {
    let asked = std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = match (asked, verbose) {
        (Some(filter), _) => filter,
        (None, true) => "info".to_owned(),
        (None, false) => return,
    };
    let info = |_| Targets::new().with_default(LevelFilter::INFO);
    let filter: Targets = filter.parse().unwrap_or_else(info);
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .finish()
        .with(filter)
        .init();
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
