//! Consumes the promises of the simulated provider: when the time has come it decides the charge, and calls the webhook
//! as a real provider would.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use trackops_aws::secrets::SecretSource;
use trackops_domain::Timestamp;
use trackops_lambda::batch::RecordError;

use crate::receive_webhook::Notice;
use crate::signature::{SIGNATURE, TIMESTAMP, sign};
use crate::simulated::{Later, Simulated};

/// The webhook must answer within this.
const TIMEOUT: Duration = Duration::from_secs(5);

pub struct Webhook {
    client: reqwest::Client,
    url: String,
    secret: SecretSource,
}

impl Webhook {
    pub fn new(url: String, secret: SecretSource) -> Result<Self, RecordError> {
        // `Err` only when a provider is installed already, which is fine too.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(TIMEOUT).build()?;
        Ok(Self { client, url, secret })
    }

    async fn tell(&self, notice: &Notice) -> Result<(), RecordError> {
        let body = serde_json::to_vec(notice)?;
        let seconds = Timestamp::now().unix_seconds();
        let call = self.client.post(&self.url).header(CONTENT_TYPE, "application/json");
        let call = call.header(TIMESTAMP, seconds.to_string());
        let call = call.header(SIGNATURE, sign(self.secret.get().await?, seconds, &body));
        call.body(body).send().await?.error_for_status()?;
        Ok(())
    }
}

pub async fn handle(
    simulated: &Simulated,
    webhook: &Webhook,
    later: Later,
) -> Result<(), RecordError> {
    if later.answers_at > Timestamp::now() {
        return Ok(simulated.answer_later(&later).await?);
    }
    match simulated.settle(&later.charge_key).await? {
        Some(outcome) => webhook.tell(&Notice { charge_key: later.charge_key, outcome }).await,
        None => Ok(()),
    }
}
