//! How far the application has been brought: which content it has, and on which the actions were done. Pure.

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing, until something changes.
    Rest,
    /// Check what was read and, if it is good, let the application have it.
    Accept,
    /// Do the actions for what the application has.
    Act,
}

/// Contents are known by a digest `D`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress<D> {
    /// What the application has.
    in_use: Option<D>,
    /// On what all actions succeeded last; nothing once those for another have begun.
    acted: Option<D>,
    /// What failed the check. Forgotten as soon as anything else is seen.
    rejected: Option<D>,
    /// Whether the application sees accepted content only (`--output`), and not what is mounted.
    is_isolated: bool,
    /// Whether the first content is acted upon, too.
    acts_at_start: bool,
}

impl<D: Copy + PartialEq> Progress<D> {
    /// At the start. With an output, `in_use` is what it holds already, and `acted` what is written there of the
    /// actions; without a word on that, they are taken to be done.
    pub(crate) fn new(is_isolated: bool, acts_at_start: bool, in_use: Option<D>, acted: Option<D>) -> Self {
        Self {
            in_use,
            acted: acted.or(in_use).filter(|_| !acts_at_start),
            rejected: None,
            is_isolated,
            acts_at_start,
        }
    }

    /// What to do, where `now` is what was read; `None` where nothing whole can be read.
    pub(crate) fn next(&self, now: Option<D>) -> Next {
        if now.is_some() && now != self.in_use && now != self.rejected {
            return Next::Accept;
        }
        // What is mounted is not what is in use: without an output an action would show it to the application.
        if now != self.in_use && !self.is_isolated {
            return Next::Rest;
        }
        if self.in_use.is_some() && self.acted != self.in_use {
            Next::Act
        } else {
            Next::Rest
        }
    }

    /// It was read. True if that ends an earlier rejection.
    pub(crate) fn saw(&mut self, now: D) -> bool {
        self.rejected.take_if(|rejected| *rejected != now).is_some()
    }

    /// The check passed, and the application has it. True if that is the first content, which the application begins
    /// with, so that nothing needs to be done.
    pub(crate) fn accept(&mut self, now: D) -> bool {
        let is_first = self.in_use.is_none();
        self.in_use = Some(now);
        self.rejected = None;
        if is_first && !self.acts_at_start {
            self.acted = Some(now);
        }
        is_first
    }

    /// The check failed.
    pub(crate) fn reject(&mut self, now: D) {
        self.rejected = Some(now);
    }

    /// The actions begin. From here on nobody knows what the application has taken, until all have succeeded.
    pub(crate) fn act(&mut self) {
        self.acted = None;
    }

    /// All actions succeeded; also: the application starts now, with what is in use.
    pub(crate) fn acted(&mut self) {
        self.acted = self.in_use;
    }

    pub(crate) fn in_use(&self) -> Option<D> {
        self.in_use
    }

    pub(crate) fn is_rejected(&self) -> bool {
        self.rejected.is_some()
    }

    /// Whether all is done that is to be done for what is in use.
    pub(crate) fn is_current(&self) -> bool {
        self.in_use.is_some() && self.acted == self.in_use
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fresh(is_isolated: bool) -> Progress<u8> {
        Progress::new(is_isolated, false, None, None)
    }

    #[test]
    fn what_is_there_at_the_start_is_the_baseline() {
        let mut progress = fresh(false);
        assert_eq!(progress.next(Some(1)), Next::Accept);
        assert!(progress.accept(1));
        assert_eq!(progress.next(Some(1)), Next::Rest);
        assert_eq!(progress.next(Some(2)), Next::Accept);
    }

    #[test]
    fn it_is_acted_upon_where_that_is_asked_for() {
        let mut progress = Progress::new(false, true, None, None);
        progress.accept(1);
        assert_eq!(progress.next(Some(1)), Next::Act);
    }

    #[test]
    fn a_change_while_the_agent_was_down_is_acted_upon() {
        let mut progress = Progress::new(true, false, Some(1), Some(1));
        assert_eq!(progress.next(Some(2)), Next::Accept);
        assert!(!progress.accept(2));
        assert_eq!(progress.next(Some(2)), Next::Act);
    }

    #[test]
    fn an_agent_that_died_between_writing_and_acting_acts() {
        let progress = Progress::new(true, false, Some(2), Some(1));
        assert_eq!(progress.next(Some(2)), Next::Act);
        assert_eq!(progress.next(None), Next::Act, "even where nothing can be read now");
    }

    #[test]
    fn rejected_content_is_left_alone_until_there_is_other() {
        let mut progress = fresh(true);
        progress.accept(1);
        progress.reject(2);
        assert_eq!(progress.next(Some(2)), Next::Rest);
        assert!(progress.saw(1));
        assert_eq!(
            progress.next(Some(1)),
            Next::Rest,
            "the application never saw the other"
        );
        assert_eq!(progress.next(Some(2)), Next::Accept, "it changed, so it is tried again");
    }

    #[test]
    fn content_that_goes_back_in_the_middle_of_the_actions_is_acted_upon() {
        let mut progress = fresh(true);
        progress.accept(1);
        progress.accept(2);
        progress.act();
        assert_eq!(progress.next(Some(1)), Next::Accept);
        progress.accept(1);
        assert_eq!(progress.next(Some(1)), Next::Act);
    }

    #[test]
    fn without_an_output_nothing_makes_the_application_read_rejected_content() {
        let (mut bare, mut isolated) = (fresh(false), fresh(true));
        for progress in [&mut bare, &mut isolated] {
            progress.accept(1);
            progress.accept(2);
            progress.act();
            progress.reject(3);
        }
        assert_eq!(bare.next(Some(3)), Next::Rest);
        assert_eq!(isolated.next(Some(3)), Next::Act);
    }

    proptest! {
        /// However contents follow one another, doing what is said ends, and ends with the last good one acted upon.
        #[test]
        fn it_comes_to_rest_with_the_last_good_content(
            is_isolated: bool,
            contents in prop::collection::vec((0u8..4, any::<bool>()), 1..12),
        ) {
            let mut progress = fresh(is_isolated);
            let (mut shown, mut told) = (None, None);
            let is_good = |content: u8| content < 3;
            for (content, is_overtaken) in contents {
                progress.saw(content);
                for step in 0.. {
                    prop_assert!(step < 4, "no end");
                    match progress.next(Some(content)) {
                        Next::Rest => break,
                        Next::Accept if is_good(content) => {
                            if progress.accept(content) {
                                told = Some(content);
                            }
                            shown = Some(content);
                        }
                        Next::Accept => progress.reject(content),
                        Next::Act => {
                            progress.act();
                            told = None;
                            if is_overtaken {
                                break;
                            }
                            progress.acted();
                            told = shown;
                        }
                    }
                }
                prop_assert_eq!(progress.in_use(), shown);
                prop_assert_eq!(progress.is_current(), told.is_some() && told == shown);
                if is_good(content) {
                    prop_assert_eq!(shown, Some(content));
                    prop_assert!(told == shown || is_overtaken);
                }
            }
        }
    }
}
