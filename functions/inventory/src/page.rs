//! A page of a list as the API shows it.

use lambda_http::http::StatusCode;
use serde::Serialize;
use trackops_lambda::cursor::ListCursors;
use trackops_lambda::http::{Answer, json};
use trackops_lambda::problem::Problem;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    items: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

pub fn page(list: &ListCursors<'_>, items: Vec<impl Serialize>, next: Option<String>) -> Answer {
    let next_cursor = next.map(|position| list.write(&position)).transpose();
    let next_cursor = next_cursor.map_err(Problem::internal)?;
    Ok(json(StatusCode::OK, &Page { items, next_cursor }))
}
