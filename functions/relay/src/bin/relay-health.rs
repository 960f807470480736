use trackops_aws::clients;
use trackops_lambda::{Error, http, telemetry};
use trackops_relay::Outboxes;
use trackops_relay::relay_health::{self, Reach};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let config = clients::config()?;
    let outboxes = Outboxes::from_env(&config)?;
    let bus = Reach::from_env(&config)?;
    http::serve_public(|_, _| relay_health::handle(&bus, outboxes.all())).await
}
