//! Jobs that are being made again: each goes before it is back, and what comes of it is told all the same.

use super::tell::rolled;
use super::*;

/// An action that took away its own workload, and is under way still.
#[derive(Debug)]
pub(super) struct Departed {
    job: Job,
    run: Box<Running>,
}

impl Engine {
    /// The workload of this action is gone. Only one that makes it again goes on.
    pub(super) fn depart(&mut self, job: Job, run: Box<Running>) {
        if matches!(&run.action, Action::Roll(roll) if roll.replace == Replace::Recreate) {
            self.departed.push(Departed { job, run });
        }
    }

    pub(super) fn finish_departed(&mut self, job: Job, outcome: &Outcome) {
        let Some(place) = self.departed.iter().position(|departed| departed.job == job) else {
            return;
        };
        let Running {
            action,
            findings,
            subject,
            ..
        } = *self.departed.swap_remove(place).run;
        let (reason, objects, note) = match outcome {
            Outcome::Written(_) => rolled(Replace::Recreate, &findings),
            Outcome::Failed { message, .. } => {
                let note = format!("could not {}: {message}; it is tried again", action.word());
                (Reason::Failed, Box::default(), note)
            }
            _ => return,
        };
        self.notices.push(Notice {
            subject,
            reason,
            objects,
            note,
        });
    }
}
