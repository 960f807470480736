//! `GET /api/orders` lists orders, newest first: customers see their own orders, operators and services all.

use trackops_aws::order_list::{Filter, Position};
use trackops_aws::orders::Orders;
use trackops_lambda::cursor::Cursors;
use trackops_lambda::http::{Answer, Call, Query};
use trackops_lambda::identity::{Caller, Role};
use trackops_lambda::problem::Problem;

use crate::view::OrderView;

pub async fn handle(orders: &Orders, cursors: &Cursors, call: Call) -> Answer {
    let mut query = Query::of(&call.request);
    let limit = query.limit();
    let cursor: Option<String> = query.take("cursor");
    let filter = filter(&mut query);
    query.finish()?;
    let filter = within_sight(filter, &call.caller)?;

    let list = cursors.of("orders", &call.caller, &filter).await?;
    let position = cursor.map(|cursor| list.read::<Position>(&cursor)).transpose()?;
    let page = orders.list(&filter, position, limit).await?;

    let items = page.found.into_iter().map(OrderView::try_from);
    list.page(items.collect::<Result<_, _>>()?, &page.unreadable.ids(), page.next)
}

fn filter(query: &mut Query) -> Filter {
    let filter = Filter {
        customer: query.take("customerId"),
        status: query.take("status"),
        from: query.take("from"),
        to: query.take("to"),
    };
    if let (Some(from), Some(to)) = (filter.from, filter.to)
        && to <= from
    {
        query.fields.refuse("to", "must be later than from");
    }
    filter
}

/// Customers see only their own orders; they may give their own id as a filter.
fn within_sight(filter: Filter, caller: &Caller) -> Result<Filter, Problem> {
    match &filter.customer {
        Some(customer) if !caller.may_see(customer) => Err(Problem::forbidden()),
        None if caller.role == Role::Customer => {
            Ok(Filter { customer: Some(caller.subject.clone()), ..filter })
        }
        _ => Ok(filter),
    }
}

#[cfg(test)]
mod tests {
    use lambda_http::http::StatusCode;

    use super::*;

    fn caller(role: Role) -> Caller {
        Caller { role, subject: "alice".parse().unwrap() }
    }

    fn of(customer: Option<&str>) -> Filter {
        Filter { customer: customer.map(|id| id.parse().unwrap()), ..Filter::default() }
    }

    #[test]
    fn customers_see_their_own_and_may_not_ask_for_others() {
        let alice = caller(Role::Customer);
        for own in [None, Some("alice")] {
            assert_eq!(within_sight(of(own), &alice).unwrap(), of(Some("alice")));
        }
        let refused = within_sight(of(Some("bob")), &alice).unwrap_err();
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
    }

    #[test]
    fn operators_and_services_see_all_or_whom_they_ask_for() {
        for role in [Role::Operator, Role::Service] {
            for customer in [None, Some("bob")] {
                let filter = within_sight(of(customer), &caller(role)).unwrap();
                assert_eq!(filter, of(customer));
            }
        }
    }
}
