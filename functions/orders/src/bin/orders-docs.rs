use trackops_lambda::{Error, telemetry};
use trackops_openapi::ORDERS;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    ORDERS.serve().await
}
