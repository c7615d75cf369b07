//! What is known of one source: a pure function of its watch's events.

use std::collections::BTreeMap;

use afresh_k8s::content::ObjectContent;
use afresh_k8s::watch::Event;
use afresh_model::name::Name;

use super::Source;
use super::sizes::Sizes;
use crate::size::Size;

/// A watch that fails this often in a row is in trouble; one failure is what any watch goes through.
pub(super) const STREAK: u32 = 2;

/// Namespace and name: the order of a selection's objects.
pub(super) type Place = (Box<str>, Box<str>);

/// What became of a source by an event, where people want to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    /// It was seen, for the first time or again.
    Appeared,
    /// A named object that has never been seen does not exist.
    Missing,
    /// A named object is gone; its last content stays.
    Gone,
    /// An object cannot be read; its last content stays, if it has any.
    Unreadable(String),
    /// Its objects hold more than they may; their last content stays.
    TooLarge(String),
    /// They hold less again: they have to be listed, as no value beyond the limit was kept.
    Fits,
}

/// Whether a source has been seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// Nothing is known yet.
    Unknown,
    /// A named object is there; a selection was listed.
    Present,
    /// A named object is not there.
    Absent,
}

/// What is known of one source.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) source: Source,
    pub(super) presence: Presence,
    /// What cannot be read, and why.
    pub(super) unreadable: BTreeMap<Place, String>,
    /// The last content of each object.
    objects: BTreeMap<Place, ObjectContent>,
    /// What a list has brought so far.
    listing: BTreeMap<Place, ObjectContent>,
    /// What the objects hold, also of those that are too much to be kept.
    sizes: Sizes,
    /// Whether values are missing because there were too many.
    is_over: bool,
}

impl Seen {
    pub(super) fn new(source: Source, limit: Size) -> Self {
        Self {
            source,
            presence: Presence::Unknown,
            unreadable: BTreeMap::new(),
            objects: BTreeMap::new(),
            listing: BTreeMap::new(),
            sizes: Sizes::new(limit),
            is_over: false,
        }
    }

    /// Why nothing newer is taken, if that is because of its size.
    pub(super) fn too_large(&self) -> Option<String> {
        self.is_over.then(|| self.sizes.complaint())
    }

    /// In the order of namespaces and names.
    pub(super) fn objects(&self) -> impl Iterator<Item = &ObjectContent> {
        self.objects.values()
    }

    /// Whether there is content of it, also if that is the last one of an object that is gone. A selection of nothing is
    /// content, too.
    pub(super) fn has_content(&self) -> bool {
        match self.source {
            Source::Object { .. } => !self.objects.is_empty(),
            Source::Selection { .. } => self.presence == Presence::Present,
        }
    }

    /// Takes in an event of its watch. [`Event::Failed`] changes nothing of what is known.
    pub(super) fn take(&mut self, event: Event<ObjectContent>) -> Option<Turn> {
        match event {
            Event::Begin => {
                self.listing.clear();
                self.unreadable.clear();
                self.sizes.clear();
                None
            }
            Event::Listed(object) => {
                self.listed(object);
                None
            }
            Event::Synced => self.synced(),
            Event::Applied(object) => self.applied(object),
            Event::Deleted(object) => {
                let place = place(&object);
                self.unreadable.remove(&place);
                self.deleted(&place)
            }
            Event::Undecodable(object) => {
                let place = (object.namespace, object.name);
                if object.deleted {
                    return self.deleted(&place);
                }
                // Its last content counts as listed.
                if let Some(last) = self.objects.get(&place) {
                    self.listed(last.clone());
                }
                let reason = object.error.to_string();
                let known = self.unreadable.insert(place, reason.clone());
                (known.as_ref() != Some(&reason)).then_some(Turn::Unreadable(reason))
            }
            Event::Failed(_) => None,
        }
    }

    fn listed(&mut self, object: ObjectContent) {
        let place = place(&object);
        self.sizes.set(place.clone(), &object);
        if self.sizes.fit() {
            self.listing.insert(place, object);
        } else {
            // It will not be taken, so it is not kept.
            self.listing.clear();
        }
    }

    fn applied(&mut self, object: ObjectContent) -> Option<Turn> {
        let place = place(&object);
        self.unreadable.remove(&place);
        self.sizes.set(place.clone(), &object);
        if self.is_over || !self.sizes.fit() {
            return self.over();
        }
        self.objects.insert(place, object);
        self.present()
    }

    /// There is, or there was, more than may be kept.
    fn over(&mut self) -> Option<Turn> {
        if self.sizes.fit() {
            return Some(Turn::Fits);
        }
        let before = std::mem::replace(&mut self.is_over, true);
        (!before).then(|| Turn::TooLarge(self.sizes.complaint()))
    }

    fn synced(&mut self) -> Option<Turn> {
        let listed = std::mem::take(&mut self.listing);
        if !self.sizes.fit() {
            return self.over();
        }
        self.is_over = false;
        let is_named = matches!(self.source, Source::Object { .. });
        if is_named && listed.is_empty() {
            // One that is there and cannot be read is not absent.
            return if self.unreadable.is_empty() {
                self.absent()
            } else {
                None
            };
        }
        self.objects = listed;
        self.present()
    }

    fn deleted(&mut self, place: &Place) -> Option<Turn> {
        self.sizes.remove(place);
        if self.is_over {
            return self.over();
        }
        match self.source {
            Source::Object { .. } => self.absent(),
            Source::Selection { .. } => {
                self.objects.remove(place);
                None
            }
        }
    }

    fn present(&mut self) -> Option<Turn> {
        let before = std::mem::replace(&mut self.presence, Presence::Present);
        (before != Presence::Present).then_some(Turn::Appeared)
    }

    fn absent(&mut self) -> Option<Turn> {
        let before = std::mem::replace(&mut self.presence, Presence::Absent);
        if before == Presence::Absent {
            None
        } else if self.objects.is_empty() {
            Some(Turn::Missing)
        } else {
            Some(Turn::Gone)
        }
    }
}

fn place(object: &ObjectContent) -> Place {
    let text = |name: &Name| name.as_str().into();
    (text(&object.key.namespace), text(&object.key.name))
}

#[cfg(test)]
pub(super) mod tests {
    use afresh_k8s::lean::{DecodeError, Undecodable};
    use afresh_model::name::{ConfigKey, ConfigKind};

    use super::*;

    fn object(kind: ConfigKind, namespace: &str, name: &str, entries: &[(&str, &str)]) -> ObjectContent {
        let entries = entries
            .iter()
            .map(|(key, text)| ((*key).to_owned(), text.as_bytes().to_vec()));
        ObjectContent {
            key: ConfigKey {
                kind,
                namespace: namespace.parse().unwrap(),
                name: name.parse().unwrap(),
            },
            resource_version: "1".into(),
            entries: entries.collect(),
        }
    }

    pub(in crate::source) fn config_map(namespace: &str, name: &str, entries: &[(&str, &str)]) -> ObjectContent {
        object(ConfigKind::ConfigMap, namespace, name, entries)
    }

    pub(in crate::source) fn secret(namespace: &str, name: &str, entries: &[(&str, &str)]) -> ObjectContent {
        object(ConfigKind::Secret, namespace, name, entries)
    }

    fn web(text: &str) -> ObjectContent {
        config_map("prod", "web", &[("a", text)])
    }

    fn broken(name: &str) -> Event<ObjectContent> {
        Event::Undecodable(Undecodable {
            namespace: "prod".into(),
            name: name.into(),
            resource_version: "2".into(),
            deleted: false,
            error: DecodeError::Json("the value of \"a\" is not base64".into()),
        })
    }

    fn texts(seen: &Seen) -> Vec<String> {
        let values = seen.objects().flat_map(|object| object.entries.values());
        values
            .map(|value| String::from_utf8_lossy(value).into_owned())
            .collect()
    }

    /// What was told, in order.
    fn told(seen: &mut Seen, events: Vec<Event<ObjectContent>>) -> Vec<Turn> {
        events.into_iter().filter_map(|event| seen.take(event)).collect()
    }

    fn seen(source: &str) -> Seen {
        Seen::new(source.parse().unwrap(), "10".parse().unwrap())
    }

    #[test]
    fn a_named_object_that_goes_keeps_its_content_until_it_is_back() {
        let mut seen = seen("configmap/prod/web");
        assert_eq!(told(&mut seen, vec![Event::Begin, Event::Synced]), [Turn::Missing]);
        assert!(!seen.has_content());
        assert_eq!(told(&mut seen, vec![Event::Applied(web("1"))]), [Turn::Appeared]);
        assert_eq!(told(&mut seen, vec![Event::Deleted(web("1"))]), [Turn::Gone]);
        assert_eq!((seen.has_content(), texts(&seen)), (true, vec!["1".to_owned()]));
        // A list says the same again.
        assert_eq!(told(&mut seen, vec![Event::Begin, Event::Synced]), []);
        let back = vec![Event::Begin, Event::Listed(web("2")), Event::Synced];
        assert_eq!(told(&mut seen, back), [Turn::Appeared]);
        assert_eq!(texts(&seen), ["2"]);
    }

    #[test]
    fn a_selection_is_what_the_last_whole_list_and_the_events_since_then_say() {
        let mut seen = seen("configmap/prod:app=web");
        let other = config_map("prod", "other", &[("b", "o")]);
        let list = vec![Event::Begin, Event::Listed(web("1")), Event::Listed(other.clone())];
        told(&mut seen, list);
        assert!(!seen.has_content(), "not before the list is whole");
        assert_eq!(told(&mut seen, vec![Event::Synced]), [Turn::Appeared]);
        assert_eq!(texts(&seen), ["o", "1"], "by name");
        told(&mut seen, vec![Event::Deleted(other)]);
        assert_eq!(texts(&seen), ["1"]);
        // A list that is broken off changes nothing; the next one does.
        told(&mut seen, vec![Event::Begin, Event::Listed(web("2")), Event::Begin]);
        assert_eq!(texts(&seen), ["1"]);
        told(&mut seen, vec![Event::Synced]);
        assert_eq!((seen.has_content(), texts(&seen)), (true, vec![]));
    }

    #[test]
    fn what_cannot_be_read_is_told_once_and_keeps_its_last_content() {
        for source in ["configmap/prod/web", "configmap/prod:app=web"] {
            let mut seen = seen(source);
            told(&mut seen, vec![Event::Begin, Event::Listed(web("1")), Event::Synced]);
            let reason = "the value of \"a\" is not base64".to_owned();
            assert_eq!(
                told(&mut seen, vec![broken("web"), broken("web")]),
                [Turn::Unreadable(reason)]
            );
            told(&mut seen, vec![Event::Begin, broken("web"), Event::Synced]);
            assert_eq!(texts(&seen), ["1"]);
            assert_eq!(seen.unreadable.len(), 1);
            told(&mut seen, vec![Event::Applied(web("2"))]);
            assert_eq!((texts(&seen), seen.unreadable.len()), (vec!["2".to_owned()], 0));
        }
    }

    #[test]
    fn what_is_too_much_is_not_kept_and_the_last_content_stays_until_it_is_listed_anew() {
        let mut seen = seen("configmap/prod:app=web");
        let two = |name: &str| config_map("prod", name, &[(name, "12345")]);
        told(&mut seen, vec![Event::Begin, Event::Listed(two("a")), Event::Synced]);
        let complaint = "2 objects hold 12 bytes, more than --max-size 10: raise that, or select fewer".to_owned();
        let more = vec![Event::Applied(two("b")), Event::Applied(web("1"))];
        assert_eq!(told(&mut seen, more), [Turn::TooLarge(complaint)], "once");
        assert_eq!((texts(&seen), seen.objects.len()), (vec!["12345".to_owned()], 1));
        assert!(seen.too_large().unwrap().starts_with("3 objects hold 14 bytes"));
        // Also after another list.
        let list = ["a", "b"].map(|name| Event::Listed(two(name)));
        let list: Vec<_> = [Event::Begin].into_iter().chain(list).chain([Event::Synced]).collect();
        assert_eq!(told(&mut seen, list), []);
        assert_eq!((texts(&seen), seen.listing.len()), (vec!["12345".to_owned()], 0));

        assert_eq!(told(&mut seen, vec![Event::Deleted(two("a"))]), [Turn::Fits]);
        assert_eq!(texts(&seen), ["12345"], "no value of the other is known yet");
        told(&mut seen, vec![Event::Begin, Event::Listed(two("b")), Event::Synced]);
        assert_eq!((texts(&seen), seen.too_large()), (vec!["12345".to_owned()], None));
        assert_eq!(seen.objects().next().unwrap().key.name.as_str(), "b");
    }

    #[test]
    fn a_selection_that_is_too_large_from_the_start_is_no_content() {
        let mut seen = seen("configmap/prod:app=web");
        let large = config_map("prod", "a", &[("a", "0123456789")]);
        let turns = told(&mut seen, vec![Event::Begin, Event::Listed(large), Event::Synced]);
        assert!(matches!(&turns[..], [Turn::TooLarge(_)]), "{turns:?}");
        assert!(!seen.has_content());
    }
}
