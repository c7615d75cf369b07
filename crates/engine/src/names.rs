//! One text per name, however many keys bear it.

use std::collections::BTreeSet;

use afresh_model::name::Name;

/// Names nobody uses are looked for when there are twice as many as after the last time, and not below this number.
const FEW: usize = 1024;

/// The names in use, and some that were.
#[derive(Debug, Default)]
pub(crate) struct Names {
    known: BTreeSet<Name>,
    /// How many there were when those not in use were last taken out.
    used: usize,
}

impl Names {
    /// An equal name, the same one each time.
    pub(crate) fn share(&mut self, name: &Name) -> Name {
        if let Some(known) = self.known.get(name) {
            return known.clone();
        }
        if self.known.len() >= FEW.max(self.used * 2) {
            self.tidy();
        }
        self.known.insert(name.clone());
        name.clone()
    }

    /// Takes out the names that nobody uses, and fills the nodes of the set.
    pub(crate) fn tidy(&mut self) {
        let known = std::mem::take(&mut self.known).into_iter();
        self.known = known.filter(Name::is_shared).collect();
        self.used = self.known.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn equal_names_become_one() {
        let mut names = Names::default();
        let (one, other) = (names.share(&name("web")), names.share(&name("web")));
        assert!(std::ptr::eq(one.as_str(), other.as_str()));
        assert_eq!(names.share(&name("api")).as_str(), "api");
    }

    #[test]
    fn names_that_nobody_uses_do_not_pile_up() {
        let mut names = Names::default();
        let kept = names.share(&name("kept"));
        for number in 0..FEW * 10 {
            names.share(&name(&format!("pod-{number}")));
        }
        assert!(names.known.len() <= FEW, "{}", names.known.len());
        assert!(std::ptr::eq(names.share(&name("kept")).as_str(), kept.as_str()));
    }
}
