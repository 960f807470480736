use trackops_lambda::{Error, telemetry};
use trackops_openapi::INVENTORY;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    INVENTORY.serve().await
}
