use trackops_lambda::{Error, telemetry};
use trackops_openapi::PAYMENTS;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    PAYMENTS.serve().await
}
