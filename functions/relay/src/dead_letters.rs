//! The dead-letter queues of the consumers, and the queues that they belong to.

use trackops_lambda::config::{ConfigError, env};

/// A consumer's queues, by their URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetters {
    /// The consumer, such as `start-saga`.
    pub queue: String,
    pub dead_letters: String,
    pub source: String,
}

/// The entries of `DEAD_LETTERS`, separated by commas. Each entry is a consumer, its dead-letter queue and its queue,
/// separated by blanks.
pub fn from_env() -> Result<Vec<DeadLetters>, ConfigError> {
    parse(&env("DEAD_LETTERS")?).ok_or_else(|| {
        ConfigError::new("DEAD_LETTERS", "must list `<consumer> <dead letters' URL> <queue's URL>`")
    })
}

fn parse(list: &str) -> Option<Vec<DeadLetters>> {
    let entry = |entry: &str| {
        let [queue, dead_letters, source] =
            entry.split_whitespace().collect::<Vec<_>>().try_into().ok()?;
        let owned = str::to_owned;
        let (queue, dead_letters, source) = (owned(queue), owned(dead_letters), owned(source));
        Some(DeadLetters { queue, dead_letters, source })
    };
    list.split(',').map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_names_a_consumer_and_its_two_queues() {
        let list = parse("a https://q/1 https://q/2,b https://q/3 https://q/4").unwrap();
        assert_eq!(list.len(), 2);
        let DeadLetters { queue, dead_letters, source } = &list[1];
        assert_eq!((&**queue, &**dead_letters, &**source), ("b", "https://q/3", "https://q/4"));
        for odd in ["", "a https://q/1", "a b c d", "a b c,"] {
            assert_eq!(parse(odd), None, "{odd}");
        }
    }
}
