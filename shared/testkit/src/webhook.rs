//! The payment provider's side of the webhook.

use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{Answer, World};

/// The key with which the provider signs its notices.
pub struct WebhookSecret(String);

impl WebhookSecret {
    /// The value of `TrackOps-Signature`: HMAC-SHA256 over `<timestamp>.<body>`.
    pub fn sign(&self, timestamp: u64, body: impl AsRef<[u8]>) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.0.as_bytes()).expect("a key of any length will do");
        mac.update(format!("{timestamp}.").as_bytes());
        mac.update(body.as_ref());
        format!("v1={}", hex::encode(mac.finalize().into_bytes()))
    }
}

impl World {
    pub async fn webhook_secret(&self) -> WebhookSecret {
        // Over plain HTTP: one call is not worth an SDK. A local cloud takes the region from the header, and any key.
        let region = &self.system.region;
        let scope = format!("000000000000/20260101/{region}/secretsmanager/aws4_request");
        let request = self
            .http
            .post(&self.system.endpoint)
            .header("X-Amz-Target", "secretsmanager.GetSecretValue")
            .header("Content-Type", "application/x-amz-json-1.1")
            .header(
                "Authorization",
                format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
            )
            .body(json!({"SecretId": self.system.output("WebhookSecretArn")}).to_string());
        let answer = Answer::read("GetSecretValue".to_owned(), request).await;
        match &answer.body["SecretString"] {
            Value::String(secret) => WebhookSecret(secret.clone()),
            _ => panic!("the webhook secret cannot be read: {answer:?}"),
        }
    }

    /// The provider tells, signed now, what became of a charge.
    pub async fn provider_says(&self, charge_key: &str, outcome: &str) -> Answer {
        let body = json!({"chargeKey": charge_key, "outcome": outcome}).to_string();
        let (secret, now) = (self.webhook_secret().await, unix_now());
        self.post_webhook(now, &secret.sign(now, &body), &body).await
    }

    /// Posts to the webhook as anybody could.
    pub async fn post_webhook(
        &self,
        timestamp: u64,
        signature: &str,
        body: impl AsRef<[u8]>,
    ) -> Answer {
        let url = format!("{}/api/payments/webhook", self.system.payments);
        let request = self
            .http
            .post(&url)
            .header("TrackOps-Timestamp", timestamp.to_string())
            .header("TrackOps-Signature", signature)
            .header("Content-Type", "application/json")
            .body(body.as_ref().to_vec());
        Answer::read(format!("POST {url}"), request).await
    }
}

/// Seconds since 1970.
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs()
}
