use trackops_lambda::{Error, telemetry};
use trackops_openapi::RELAY;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    RELAY.serve().await
}
