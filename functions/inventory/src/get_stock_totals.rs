//! `GET /api/inventory/health` tells operators and services the totals of the stock: of all products, or a 503.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lambda_http::http::{HeaderValue, StatusCode, header};
use lambda_http::{Body, Request, Response};
use serde::Serialize;
use trackops_aws::StoreError;
use trackops_aws::inventory::Inventory;
use trackops_domain::Timestamp;
use trackops_domain::totals::Totals;
use trackops_lambda::http::{Answer, Call, header_text, json};
use trackops_lambda::identity::Role;
use trackops_lambda::problem::Problem;

/// How long the same totals are given again, and may be cached by the caller.
const FRESH_FOR: Duration = Duration::from_secs(30);

/// The function is ended after 10 seconds.
const BUDGET: Duration = Duration::from_secs(8);

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct TotalsView {
    total_items: u64,
    on_hand_quantity: u64,
    available_quantity: u64,
    reserved_quantity: u64,
    out_of_stock_items: u64,
    low_stock_items: u64,
    discontinued_items: u64,
    unreadable_items: u64,
    computed_at: Timestamp,
}

/// The totals of the last count, with the moment when they were counted.
#[derive(Default)]
pub struct LastTotals(Mutex<Option<(Instant, TotalsView)>>);

impl LastTotals {
    fn fresh(&self, now: Instant) -> Option<(Duration, TotalsView)> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, view) = last?;
        let left = FRESH_FOR.checked_sub(now.saturating_duration_since(since))?;
        (!left.is_zero()).then_some((left, view))
    }

    fn keep(&self, since: Instant, view: TotalsView) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((since, view));
    }
}

pub async fn handle(inventory: &Inventory, last: &LastTotals, call: Call) -> Answer {
    call.caller.must_be(&[Role::Operator, Role::Service])?;
    let began = Instant::now();
    if let Some((left, view)) = last.fresh(began)
        && !wants_new(&call.request)
    {
        return answer(left, &view);
    }
    // The totals are as old as the first item that was read.
    let computed_at = Timestamp::now();
    let totals = within(BUDGET, inventory.totals()).await?;
    let view = TotalsView {
        total_items: totals.items,
        on_hand_quantity: totals.on_hand,
        available_quantity: totals.available,
        reserved_quantity: totals.reserved,
        out_of_stock_items: totals.out_of_stock,
        low_stock_items: totals.low,
        discontinued_items: totals.discontinued,
        unreadable_items: totals.unreadable,
        computed_at,
    };
    last.keep(began, view);
    answer(FRESH_FOR, &view)
}

/// Source: RFC 9111, section 5.2.1.4.
fn wants_new(request: &Request) -> bool {
    let directives = header_text(request, &header::CACHE_CONTROL).unwrap_or_default();
    directives.split(',').any(|directive| directive.trim().eq_ignore_ascii_case("no-cache"))
}

/// Totals of only some products would be wrong.
async fn within(
    budget: Duration,
    totals: impl Future<Output = Result<Totals, StoreError>>,
) -> Result<Totals, Problem> {
    match tokio::time::timeout(budget, totals).await {
        Ok(totals) => Ok(totals?),
        Err(_) => {
            tracing::error!(seconds = budget.as_secs(), "the stock was not added up in time");
            let title = "There is more stock than can be added up in time.";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "totals-unavailable", title))
        }
    }
}

fn answer(left: Duration, view: &TotalsView) -> Result<Response<Body>, Problem> {
    let mut response = json(StatusCode::OK, view);
    let kept = HeaderValue::from_str(&format!("private, max-age={}", left.as_secs()));
    response.headers_mut().insert(header::CACHE_CONTROL, kept.map_err(Problem::internal)?);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> TotalsView {
        TotalsView {
            total_items: 1,
            on_hand_quantity: 5,
            available_quantity: 3,
            reserved_quantity: 2,
            out_of_stock_items: 0,
            low_stock_items: 0,
            discontinued_items: 0,
            unreadable_items: 0,
            computed_at: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn totals_are_given_again_for_half_a_minute_and_say_how_long_they_are_still_good() {
        let last = LastTotals::default();
        let since = Instant::now();
        let after = |seconds: u64| since + Duration::from_secs(seconds);
        assert!(last.fresh(since).is_none(), "nothing was added up yet");
        last.keep(since, view());
        for (seconds, header) in [(0, "private, max-age=30"), (29, "private, max-age=1")] {
            let (left, view) = last.fresh(after(seconds)).unwrap();
            assert_eq!(answer(left, &view).unwrap().headers()[header::CACHE_CONTROL], header);
        }
        assert!(last.fresh(after(30)).is_none() && last.fresh(after(3600)).is_none());
    }

    #[test]
    fn who_wants_no_kept_answer_gets_a_new_one() {
        for (given, new) in
            [(None, false), (Some("max-age=0"), false), (Some("no-store, No-Cache"), true)]
        {
            let mut request = Request::default();
            if let Some(given) = given {
                request.headers_mut().insert(header::CACHE_CONTROL, given.parse().unwrap());
            }
            assert_eq!(wants_new(&request), new, "{given:?}");
        }
    }

    #[tokio::test]
    async fn totals_that_take_too_long_are_refused_and_never_told_in_part() {
        let never = std::future::pending();
        let problem = within(Duration::from_millis(1), never).await.unwrap_err();
        assert_eq!(problem.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(problem.kind, "totals-unavailable");
    }
}
