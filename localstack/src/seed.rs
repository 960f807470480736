//! Sample data: the products of `seed/items.json`, added through the API as an operator would.

use std::fs;

use anyhow::{Context, Result, bail};
use hyper::{Method, StatusCode};
use serde_json::Value;

use crate::http::Http;
use crate::instance::{Instance, workspace};
use crate::progress::Step;
use crate::token::{Role, Which, sign};

/// Safe to repeat: products that are there stay as they are.
pub async fn seed(instance: &Instance) -> Result<()> {
    let step = Step::start("Loading sample data");
    let running = instance.expect_running()?;
    let url = format!("{}/api/inventory/items", running.endpoints.inventory);
    let token = sign(instance.name(), Which::Current, Role::Operator, None)?;
    let http = Http::new();
    let mut created = 0;
    let items = items()?;
    for item in &items {
        let answer = http.ask(Method::POST, &url, &token, Some(item)).await?;
        match answer.status {
            StatusCode::CREATED => created += 1,
            StatusCode::CONFLICT => {}
            status => {
                bail!("{} was not taken: {status} {}", item["productId"], answer.text())
            }
        }
    }
    step.done(&format!("{created} products added, {} there before", items.len() - created));
    Ok(())
}

fn items() -> Result<Vec<Value>> {
    let path = workspace().join("localstack/seed/items.json");
    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no list of items", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_data_has_what_the_demo_orders() {
        let items = items().unwrap();
        for product in [crate::demo::PLENTIFUL, crate::demo::SOLD_OUT] {
            assert!(items.iter().any(|item| item["productId"] == product), "{product} is missing");
        }
    }
}
