//! Which sizes, and what becomes of the figures.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::objects::Size;
use crate::report;
use crate::scenario::{Plan, measure};

const QUICK: Size = Size {
    name: "quick",
    objects: 100,
    deployments: 50,
    namespaces: 10,
};
pub(crate) const SIZES: [Size; 3] = [
    Size {
        name: "small",
        objects: 2_000,
        deployments: 1_000,
        namespaces: 100,
    },
    Size {
        name: "large",
        objects: 10_000,
        deployments: 5_000,
        namespaces: 100,
    },
    Size {
        name: "one-namespace",
        objects: 2_000,
        deployments: 2_000,
        namespaces: 1,
    },
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The program that is measured
    #[arg(long, value_name = "FILE")]
    afresh: PathBuf,
    /// A small cluster and few changes: shows that it works, measures nothing
    #[arg(long)]
    quick: bool,
    /// Only this size: small, large or one-namespace
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Changes per figure
    #[arg(long, default_value_t = 200)]
    changes: usize,
    /// Replaces the table in this page
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let (sizes, changes) = if args.quick {
        (vec![QUICK], 15)
    } else {
        (SIZES.to_vec(), args.changes)
    };
    let wanted = |size: &Size| args.only.as_deref().is_none_or(|name| name == size.name);
    let sizes: Vec<Size> = sizes.into_iter().filter(wanted).collect();
    ensure!(!sizes.is_empty(), "no size is called {:?}", args.only);
    let mut all = Vec::new();
    for (number, size) in sizes.into_iter().enumerate() {
        ensure!(
            changes * 3 <= size.deployments,
            "{} Deployments are too few for {changes} changes",
            size.deployments
        );
        eprintln!(
            "{}: {} ConfigMaps and Secrets, {} Deployments",
            size.name, size.objects, size.deployments
        );
        let plan = Plan {
            size,
            changes,
            defaults: number == 0,
            program: args.afresh.clone(),
        };
        all.push(measure(&plan).await.with_context(|| format!("size {}", size.name))?);
    }
    report::publish(&report::table(&all), report::LAST_RUN, args.write.as_deref())
}
