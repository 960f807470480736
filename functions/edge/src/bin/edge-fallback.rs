use trackops_edge::edge_fallback::{Endpoints, handle};
use trackops_lambda::{Error, config::env_as, http, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start()?;
    let endpoints: Endpoints = env_as("ENDPOINTS")?;
    http::serve_public(|request, _| handle(&endpoints, request)).await
}
