//! The events that reached a consumer, compared with the events that were written.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// An event, as far as its order is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    pub order: String,
    pub sequence: u64,
}

pub struct Arrivals {
    events: usize,
    repetitions: usize,
    /// What is wrong, by order.
    lost: BTreeMap<String, Vec<u64>>,
    /// First arrivals, in the order of arrival.
    out_of_order: BTreeMap<String, Vec<u64>>,
}

impl Arrivals {
    /// `written` is the newest version of each order; every version raises an event. `arrived` has the events in the
    /// order of arrival.
    pub fn new(written: HashMap<String, u64>, arrived: Vec<Arrival>) -> Self {
        let mut first = HashMap::<String, Vec<u64>>::new();
        let mut repetitions = 0;
        for Arrival { order, sequence } in arrived {
            let seen = first.entry(order).or_default();
            if seen.contains(&sequence) {
                repetitions += 1;
            } else {
                seen.push(sequence);
            }
        }
        let (mut lost, mut out_of_order) = (BTreeMap::new(), BTreeMap::new());
        let mut events = 0;
        for (order, newest) in written {
            let seen = first.remove(&order).unwrap_or_default();
            let missing: Vec<u64> =
                (1..=newest).filter(|version| !seen.contains(version)).collect();
            events += seen.len() + missing.len();
            if !missing.is_empty() {
                lost.insert(order.clone(), missing);
            }
            if !seen.is_sorted() {
                out_of_order.insert(order, seen);
            }
        }
        assert!(first.is_empty(), "nobody has written {first:?}");
        Self { events, repetitions, lost, out_of_order }
    }

    /// Events that did not arrive.
    pub fn lost(&self) -> usize {
        self.lost.values().map(Vec::len).sum()
    }

    #[track_caller]
    pub fn keep_the_promise(&self) {
        let kept = self.lost.is_empty() && self.out_of_order.is_empty();
        let some = |wrong: &BTreeMap<String, Vec<u64>>| {
            let some = wrong.iter().take(5).map(|(order, events)| format!("{order} {events:?}"));
            some.collect::<Vec<_>>().join(", ")
        };
        let (lost, came) = (some(&self.lost), some(&self.out_of_order));
        assert!(kept, "{self}; lost, for example: {lost}; came: {came}");
    }
}

impl fmt::Display for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, repetitions, out_of_order, .. } = self;
        let (lost, disorder) = (self.lost(), out_of_order.len());
        write!(
            f,
            "{events} events, {lost} lost, {disorder} orders out of order, {repetitions} repetitions"
        )
    }
}

fn judge(newest: u64, arrived: &[u64]) -> Arrivals {
    let arrived = arrived.iter().map(|&sequence| Arrival { order: "A".into(), sequence });
    Arrivals::new(HashMap::from([("A".to_owned(), newest)]), arrived.collect())
}

#[test]
fn repetitions_are_allowed_at_any_time() {
    let arrivals = judge(3, &[1, 1, 2, 1, 3, 2]);
    arrivals.keep_the_promise();
    assert_eq!((arrivals.events, arrivals.repetitions), (3, 3));
}

#[test]
fn whatever_is_missing_is_lost() {
    for (arrived, lost) in [(&[][..], 3), (&[2, 3], 1), (&[1, 3], 1), (&[1, 2], 1), (&[1, 1], 2)] {
        assert_eq!(judge(3, arrived).lost(), lost, "{arrived:?}");
    }
}

#[test]
fn what_comes_first_after_its_successor_is_out_of_order() {
    for arrived in [&[2, 1, 3][..], &[1, 3, 2], &[1, 3, 1, 2]] {
        let arrivals = judge(3, arrived);
        assert_eq!((arrivals.lost(), arrivals.out_of_order.len()), (0, 1), "{arrived:?}");
    }
}
