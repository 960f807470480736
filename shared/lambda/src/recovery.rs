//! Looking after what is due: each item gets its turn, and one that cannot be helped keeps none waiting.

use std::future::Future;
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde::Serialize;
use trackops_aws::aggregate::Table;
use trackops_aws::due::Due;
use trackops_domain::Timestamp;

use crate::error::chain;
use crate::task::TaskError;

/// Until an item that stays due gets its next turn.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The next run begins before this one must end: the functions' timeout is 50 seconds.
const BUDGET: Duration = Duration::from_secs(40);

#[derive(Debug, Default, Serialize)]
pub struct Recovered {
    due: usize,
    failed: usize,
}

/// Helps everything that is due now. Fails when something could not be helped, so that an alarm tells of it.
pub async fn recover<F, E>(table: &Table, help: impl Fn(Due) -> F) -> Result<Recovered, TaskError>
where
    F: Future<Output = Result<(), E>>,
    E: std::error::Error + 'static,
{
    let (now, until) = (Timestamp::now(), Instant::now() + BUDGET);
    let mut recovered = Recovered::default();
    while Instant::now() < until {
        let page = table.due(now).await?;
        if page.is_empty() {
            break;
        }
        let turns = page.into_iter().map(|due| async {
            let id = due.id;
            if !table.postpone(&due, Timestamp::now().plus(AGAIN_AFTER)).await? {
                return Ok(true);
            }
            let helped = help(due).await;
            if let Err(error) = &helped {
                tracing::error!(order_id = %id, error = chain(error), "not recovered");
            }
            Ok::<_, TaskError>(helped.is_ok())
        });
        for turn in join_all(turns).await {
            recovered.due += 1;
            recovered.failed += usize::from(!turn?);
        }
    }
    tracing::info!(due = recovered.due, failed = recovered.failed, "recovered");
    if recovered.failed > 0 {
        return Err(TaskError::broken(format!("{} could not be recovered", recovered.failed)));
    }
    Ok(recovered)
}
