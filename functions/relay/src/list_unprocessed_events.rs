//! `GET /api/events/unprocessed` lists the events that are not published yet, longest waiting aggregate first.

use serde::{Deserialize, Serialize};
use trackops_aws::StoreError;
use trackops_aws::relay::RelayStore;
use trackops_aws::waiting::{Place, Waiting, waiting};
use trackops_domain::Timestamp;
use trackops_lambda::cursor::Cursors;
use trackops_lambda::http::{Answer, Call, Query};
use trackops_lambda::identity::Role;

use crate::outboxes::{Kind, Outboxes, Source};
use crate::view::UnprocessedView;

/// How many aggregates are read at once, and how often for one page. After that the page has what was found so far.
const AGGREGATES: usize = 50;
const STEPS: usize = 10;

#[derive(Debug, Default, Serialize)]
struct Filter {
    source: Option<Source>,
    #[serde(rename = "type")]
    kind: Option<Kind>,
    parked: Option<bool>,
}

/// Where the list goes on: after an aggregate, or within the next aggregate.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Position {
    after: Option<Place>,
    /// This aggregate's events up to this one were listed.
    within: Option<(String, String)>,
}

pub async fn handle(
    outboxes: &Outboxes,
    store: &RelayStore,
    cursors: &Cursors,
    call: Call,
) -> Answer {
    call.caller.must_be(&[Role::Operator])?;
    let mut query = Query::of(&call.request);
    let limit = query.limit();
    let cursor: Option<String> = query.take("cursor");
    let filter = Filter {
        source: query.take("source"),
        kind: query.take("type"),
        parked: query.boolean("parked"),
    };
    query.finish()?;
    let list = cursors.of("unprocessed", &call.caller, &filter).await?;
    let position = cursor.map(|cursor| list.read(&cursor)).transpose()?.unwrap_or_default();

    let (found, next) = find(outboxes, store, &filter, position, limit).await?;
    list.page(found, &[], next)
}

async fn find(
    outboxes: &Outboxes,
    store: &RelayStore,
    filter: &Filter,
    mut position: Position,
    limit: usize,
) -> Result<(Vec<UnprocessedView>, Option<Position>), StoreError> {
    let (tables, now) = (outboxes.some(filter.source), Timestamp::now());
    let mut found = Vec::new();
    for _ in 0..STEPS {
        let (items, next) = waiting(&tables, now, position.after.as_ref(), AGGREGATES).await?;
        let oldest: Vec<_> = items.iter().filter_map(|it| it.item.oldest()).collect();
        let oldest: Vec<&str> = oldest.iter().map(|id| &**id).collect();
        let refused = store.refusals(&oldest).await?;
        for Waiting { place, item, .. } in items {
            let oldest = item.oldest().and_then(|id| refused.get(&*id));
            let within = position.within.take().filter(|(key, _)| *key == item.pk);
            // The last listed event may have been published meanwhile: then all events that are left come after it.
            let listed = within.and_then(|(_, id)| item.position(&id)).map_or(0, |it| it + 1);
            let events = item.outbox.iter();
            let events = events.map(|event| UnprocessedView::of(&item.pk, event, oldest, now));
            let odd = item.odd().into_iter();
            let odd = odd.map(|odd| UnprocessedView::of_unreadable(&item.pk, odd, oldest, now));
            for view in events.chain(odd).skip(listed) {
                let is_wanted = filter.kind.is_none_or(|kind| view.is_of(kind.0))
                    && filter.parked.is_none_or(|parked| parked == view.parked);
                if !is_wanted {
                    continue;
                }
                if found.len() == limit {
                    return Ok((found, Some(position)));
                }
                position.within = Some((item.pk.clone(), view.event_id.clone()));
                found.push(view);
            }
            position = Position { after: Some(place), within: None };
        }
        let Some(next) = next else { return Ok((found, None)) };
        position = Position { after: Some(next), within: None };
    }
    Ok((found, Some(position)))
}
