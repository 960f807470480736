//! An SQS queue to put messages into.

use aws_sdk_sqs::Client;
use aws_types::SdkConfig;

use crate::error::StoreError;

pub struct Queue {
    client: Client,
    url: String,
}

impl Queue {
    pub fn at(config: &SdkConfig, url: String) -> Self {
        Self { client: Client::new(config), url }
    }

    pub async fn send(&self, message: String) -> Result<(), StoreError> {
        self.client.send_message().queue_url(&self.url).message_body(message).send().await?;
        Ok(())
    }
}
