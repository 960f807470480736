//! What is running, for people.

use anyhow::Result;

use crate::clients::Aws;
use crate::instance::{Endpoints, Instance};
use crate::{say, stack};

/// Prints whether the instance runs and where it is; false when it does not run.
pub async fn status(instance: &Instance) -> Result<bool> {
    let Some(running) = instance.running()? else {
        say!("{} is not running; {} starts it", instance.name(), instance.command("up"))?;
        return Ok(false);
    };
    let state = stack::state(&Aws::at(&running.endpoints.endpoint)).await?;
    say!(
        "{} runs as process {}; stack {}",
        instance.name(),
        running.pid,
        state.as_deref().unwrap_or("not deployed")
    )?;
    say!("{}", addresses(&running.endpoints))?;
    say!("  logs       {}", instance.path("cloud.log").display())?;
    Ok(true)
}

/// One address a line.
pub fn addresses(endpoints: &Endpoints) -> String {
    let Endpoints { endpoint, orders, inventory, relay, payments, issuer, kafka, .. } = endpoints;
    let mut lines = vec![
        format!("  orders     {orders}/api/orders"),
        format!("  inventory  {inventory}/api/inventory/items"),
        format!("  payments   {payments}/api/payments/webhook"),
        format!("  relay      {relay}/actuator/health"),
        format!("  issuer     {issuer}/.well-known/openid-configuration"),
        format!("  AWS        {endpoint}"),
    ];
    lines.extend(kafka.iter().map(|brokers| format!("  Kafka      {brokers}")));
    lines.join("\n")
}
