//! The item is its own outbox: events are written together with the change, and removed after they are published.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use trackops_aws::aggregate::{Item, SHARDS, Table};
use trackops_aws::outbox::{Page, Told, Unpublished};
use trackops_domain::Timestamp;
use trackops_domain::stock::StockItem;

use crate::dynamodb::OwnTable;
use crate::given::{at_once, changed, inventory, item, told};

const KEY: &str = "STOCK#TEA";

/// The items that have waited since before `before`, if they fit on one page.
async fn waiting(table: &Table, before: Timestamp) -> Vec<String> {
    let mut keys = Vec::new();
    for shard in 0..SHARDS {
        keys.extend(table.unpublished_before(shard, before, Page::default()).await.unwrap().0);
    }
    keys
}

fn soon() -> Timestamp {
    Timestamp::now().plus(Duration::from_secs(60))
}

async fn ids(table: &Table) -> Vec<String> {
    let left = table.unpublished(KEY).await.unwrap();
    left.into_iter().flat_map(|left| left.outbox).map(|event| event.id).collect()
}

/// Tea of version 1, whose event the relay has read but not trimmed yet.
async fn read_by_the_relay() -> (StockItem, OwnTable, Unpublished) {
    let tea = told(item("TEA", 5, 0));
    let (_, own) = inventory(std::slice::from_ref(&tea)).await;
    let read = own.table.unpublished(KEY).await.unwrap().unwrap();
    (tea, own, read)
}

#[tokio::test]
async fn a_change_its_event_and_the_index_entry_are_one_write() {
    let (tea, own, read) = read_by_the_relay().await;
    let event = tea.raised[0].clone();
    assert_eq!(read.pk, KEY);
    assert_eq!(read.outbox.len(), 1);
    assert_eq!(read.outbox[0].id, event.id);
    assert_eq!(read.outbox[0].body, serde_json::to_string(&event).unwrap());
    assert_eq!(waiting(&own.table, soon()).await, [KEY]);

    let mut silent = changed(&tea, |_| ());
    silent.raised.clear();
    own.table.replace(&tea, &silent).await.unwrap();
    assert_eq!(
        ids(&own.table).await,
        ["STOCK#TEA#1"],
        "a change that tells nothing told something"
    );

    own.table.replace(&silent, &changed(&silent, |_| ())).await.unwrap();
    assert_eq!(ids(&own.table).await, ["STOCK#TEA#1", "STOCK#TEA#3"]);
}

#[tokio::test]
async fn an_item_waits_since_its_oldest_event_however_many_follow() {
    let mut tea = item("TEA", 5, 0);
    let long_ago = Timestamp::now().minus(Duration::from_secs(600));
    tea.updated_at = long_ago;
    let tea = told(tea);
    let (_, own) = inventory(std::slice::from_ref(&tea)).await;
    own.table.replace(&tea, &changed(&tea, |_| ())).await.unwrap();

    assert!(waiting(&own.table, long_ago).await.is_empty(), "not older than itself");
    let just_after = long_ago.plus(Duration::from_millis(1));
    assert_eq!(waiting(&own.table, just_after).await, [KEY]);
}

#[tokio::test]
async fn what_was_published_is_forgotten_and_the_item_leaves_the_index() {
    let (tea, own, read) = read_by_the_relay().await;
    own.table.trim(&read).await.unwrap();
    assert_eq!(own.table.unpublished(KEY).await.unwrap(), None);
    assert!(waiting(&own.table, soon()).await.is_empty());
    own.table.trim(&read).await.expect("trimming twice is safe");

    own.table
        .replace(&tea, &changed(&tea, |_| ()))
        .await
        .expect("trimming does not change the version");
    assert_eq!(ids(&own.table).await, ["STOCK#TEA#2"], "what was published came back");
    assert_eq!(waiting(&own.table, soon()).await, [KEY]);
    own.table.trim(&read).await.unwrap();
    assert_eq!(ids(&own.table).await, ["STOCK#TEA#2"], "a late trim took what it never published");
}

#[tokio::test]
async fn an_event_added_while_the_relay_publishes_keeps_all_of_them() {
    let (tea, own, read) = read_by_the_relay().await;
    own.table.replace(&tea, &changed(&tea, |_| ())).await.unwrap();
    own.table.trim(&read).await.unwrap();
    assert_eq!(ids(&own.table).await, ["STOCK#TEA#1", "STOCK#TEA#2"]);
    assert_eq!(waiting(&own.table, soon()).await, [KEY]);
}

#[tokio::test]
async fn what_is_published_of_an_outbox_is_forgotten_and_the_item_waits_since_the_next_event() {
    let (mut tea, own, _) = read_by_the_relay().await;
    for _ in 0..3 {
        let next = changed(&tea, |_| ());
        own.table.replace(&tea, &next).await.unwrap();
        tea = next;
    }
    let read = own.table.unpublished(KEY).await.unwrap().unwrap();
    assert!(own.table.forget(&read, 0).await.unwrap());
    assert_eq!(ids(&own.table).await.len(), 4, "nothing was published");

    assert!(own.table.forget(&read, 2).await.unwrap());
    let left = own.table.unpublished(KEY).await.unwrap().unwrap();
    assert_eq!(left.outbox, read.outbox[2..], "what is left is as it was");
    let since = read.outbox[2].time;
    assert_eq!(waiting(&own.table, since.plus(Duration::from_millis(1))).await, [KEY]);
    assert!(waiting(&own.table, since).await.is_empty(), "it waits since its oldest event");

    assert!(!own.table.forget(&read, 1).await.unwrap(), "it is not what was read any more");
    own.table.replace(&tea, &changed(&tea, |_| ())).await.unwrap();
    assert!(!own.table.forget(&left, 1).await.unwrap(), "an event was added");
    assert_eq!(ids(&own.table).await, ["STOCK#TEA#3", "STOCK#TEA#4", "STOCK#TEA#5"]);
}

#[tokio::test]
async fn many_outboxes_are_forgotten_at_once_and_one_that_has_changed_keeps_all_of_its_events() {
    // More than one call takes.
    let names: Vec<String> = (0..30).map(|number| format!("TEA-{number:02}")).collect();
    let teas: Vec<_> = names.iter().map(|name| told(item(name, 5, 0))).collect();
    let (_, own) = inventory(&teas).await;
    // 3 has changed since it was read, 5 was gone before, and of 7 the bus took one event of two.
    own.table.replace(&teas[7], &changed(&teas[7], |_| ())).await.unwrap();
    let keys = names.iter().map(|name| format!("STOCK#{name}")).collect();
    let mut read = own.table.outboxes(keys).await.unwrap();
    read.sort_by(|a, b| a.pk.cmp(&b.pk));
    own.table.replace(&teas[3], &changed(&teas[3], |_| ())).await.unwrap();
    own.table.trim(&read[5]).await.unwrap();

    let told: Vec<_> = read.iter().map(|read| Told { read, count: 1 }).collect();
    let forgotten = own.table.forget_all(&told).await.unwrap();
    let kept: Vec<usize> = (0..forgotten.len()).filter(|number| !forgotten[*number]).collect();
    assert_eq!((forgotten.len(), kept), (30, vec![3, 5]));
    let mut waits = waiting(&own.table, soon()).await;
    waits.sort();
    assert_eq!(waits, ["STOCK#TEA-03", "STOCK#TEA-07"]);
    let left = own.table.unpublished("STOCK#TEA-07").await.unwrap().unwrap();
    assert_eq!(left.outbox, read[7].outbox[1..]);
    let left = own.table.unpublished("STOCK#TEA-03").await.unwrap().unwrap();
    assert_eq!(left.outbox.len(), 2);
}

#[tokio::test]
async fn two_relays_beside_a_busy_writer_tell_everything_and_in_order() {
    const CHANGES: u64 = 40;
    let (tea, own, _) = read_by_the_relay().await;
    let (told, finished) = (RefCell::new(Vec::new()), Cell::new(false));
    let write = async {
        let mut tea = tea.clone();
        while tea.version < CHANGES {
            let next = changed(&tea, |_| ());
            own.table.replace(&tea, &next).await.unwrap();
            tea = next;
        }
        finished.set(true);
    };
    let relay = async || {
        loop {
            let nothing_follows = finished.get();
            match own.table.unpublished(KEY).await.unwrap() {
                Some(read) => {
                    told.borrow_mut().extend(read.outbox.iter().map(|event| event.id.clone()));
                    own.table.trim(&read).await.unwrap();
                }
                None if nothing_follows => return,
                None => {}
            }
        }
    };
    futures::join!(write, relay(), relay());

    let mut seen = HashSet::new();
    let mut first_times = told.into_inner();
    first_times.retain(|id| seen.insert(id.clone()));
    let all: Vec<String> = (1..=CHANGES).map(|version| format!("{KEY}#{version}")).collect();
    assert_eq!(first_times, all);
    assert!(waiting(&own.table, soon()).await.is_empty());
}

#[tokio::test]
async fn the_sweeper_finds_whatever_waits_long_enough_page_by_page_while_it_trims_them() {
    let minute = |minute: usize| Timestamp::from_millis(60_000 * i64::try_from(minute).unwrap());
    let key = |number: usize| format!("STOCK#SKU-{number:03}");
    let (_, own) = inventory(&[]).await;
    // Some 120 a shard, which is more than a page; the last forty have not waited long enough.
    at_once(40, async |part| {
        for number in (part * 24)..(part * 24 + 24) {
            let mut item = item(&format!("SKU-{number:03}"), 1, 0);
            item.updated_at = minute(number);
            own.table.create(&told(item)).await.unwrap();
        }
    })
    .await;
    let (mut found, mut pages) = (Vec::new(), 0);
    for shard in 0..SHARDS {
        let (mut next, mut of_shard) = (Some(Page::default()), Vec::new());
        while let Some(page) = next.take() {
            let keys;
            (keys, next) = own.table.unpublished_before(shard, minute(920), page).await.unwrap();
            // As if every other one could not be published.
            at_once(keys.len().div_ceil(2), async |pair| {
                let read = own.table.unpublished(&keys[2 * pair]).await.unwrap().unwrap();
                own.table.trim(&read).await.unwrap();
            })
            .await;
            of_shard.extend(keys);
            pages += 1;
        }
        assert!(of_shard.is_sorted(), "shard {shard} is not oldest first: {of_shard:?}");
        found.extend(of_shard);
    }
    assert!(pages > SHARDS, "no shard had a second page");
    found.sort();
    assert_eq!(found, (0..920).map(key).collect::<Vec<_>>());
}

/// An entry that another version might have written.
fn entry(attributes: &[(&str, &str)]) -> AttributeValue {
    let text =
        |(name, text): &(&str, &str)| ((*name).to_owned(), AttributeValue::S((*text).to_owned()));
    AttributeValue::M(attributes.iter().map(text).collect::<Item>())
}

fn of_a_newer_version(id: &str) -> AttributeValue {
    entry(&[
        ("id", id),
        ("type", "inventory.item.weighed"),
        ("time", "2026-11-28T12:00:00.000Z"),
        ("body", r#"{"source": "/trackops.inventory"}"#),
    ])
}

#[tokio::test]
async fn an_event_of_a_type_that_is_not_known_is_read_and_keeps_its_name_and_its_place() {
    let (_, own, mut read) = read_by_the_relay().await;
    let known = own.attributes(KEY).await["outbox"].as_l().unwrap()[0].clone();
    let outbox = vec![of_a_newer_version("STOCK#TEA#7"), known];
    own.set(KEY, "outbox", AttributeValue::L(outbox)).await;
    read = own.table.unpublished(KEY).await.unwrap().unwrap_or(read);
    assert_eq!(ids(&own.table).await, ["STOCK#TEA#7", "STOCK#TEA#1"]);
    assert_eq!(read.outbox[0].kind.name(), "inventory.item.weighed");
    assert_eq!(read.outbox[0].source().as_deref(), Some("trackops.inventory"));
    own.table.forget(&read, 1).await.unwrap();
    assert_eq!(ids(&own.table).await, ["STOCK#TEA#1"]);
}

#[tokio::test]
async fn what_cannot_be_read_stays_as_it_is_while_what_was_before_it_is_forgotten() {
    let odd = || entry(&[("id", "STOCK#TEA#8"), ("type", "inventory.item.weighed")]);
    let (_, own, _) = read_by_the_relay().await;
    let known = own.attributes(KEY).await["outbox"].as_l().unwrap()[0].clone();
    let behind = of_a_newer_version("STOCK#TEA#9");
    let nameless = AttributeValue::Bool(true);
    let outbox = vec![known, odd(), behind.clone(), nameless.clone()];
    own.set(KEY, "outbox", AttributeValue::L(outbox)).await;

    let read = own.table.unpublished(KEY).await.unwrap().unwrap();
    assert_eq!(ids(&own.table).await, ["STOCK#TEA#1"]);
    assert_eq!(read.odd().unwrap().id, "STOCK#TEA#8");
    assert!(own.table.forget(&read, 1).await.unwrap(), "what was told is not forgotten");
    let left = own.attributes(KEY).await;
    assert_eq!(left["outbox"].as_l().unwrap()[..], [odd(), behind.clone(), nameless.clone()]);
    assert!(left.contains_key("unpublished"), "it has left the index");

    let read = own.table.unpublished(KEY).await.unwrap().unwrap();
    assert!(read.outbox.is_empty());
    assert!(own.table.forget(&read, 1).await.unwrap(), "it cannot be given up");
    let read = own.table.unpublished(KEY).await.unwrap().unwrap();
    assert_eq!(ids(&own.table).await, ["STOCK#TEA#9"]);
    assert!(own.table.forget(&read, 1).await.unwrap());
    let read = own.table.unpublished(KEY).await.unwrap().unwrap();
    assert_eq!(read.oldest().as_deref(), Some("STOCK#TEA#0"), "it has no id of its own");
    assert!(own.table.forget(&read, 1).await.unwrap());
    assert_eq!(own.table.unpublished(KEY).await.unwrap(), None);
    assert!(!own.attributes(KEY).await.contains_key("unpublished"));
}

#[tokio::test]
async fn one_item_that_makes_no_sense_keeps_no_other_from_being_read() {
    let (_, own) = inventory(&[told(item("TEA", 5, 0)), told(item("POT", 5, 0))]).await;
    own.set(KEY, "outbox", AttributeValue::S("not a list".into())).await;
    let keys = vec![KEY.to_owned(), "STOCK#POT".to_owned()];
    let mut read = own.table.outboxes(keys).await.unwrap();
    read.sort_by(|a, b| a.pk.cmp(&b.pk));
    let told: Vec<_> = read.iter().map(|item| (item.outbox.len(), item.unreadable.len())).collect();
    assert_eq!(told, [(1, 0), (0, 1)]);
    assert_eq!(waiting(&own.table, soon()).await.len(), 2);
}
