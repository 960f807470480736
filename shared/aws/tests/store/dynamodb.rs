//! Tables as `template.yaml` defines them, a new one for each test, so that tests run beside each other.

use std::fs::{self, File};
use std::net::TcpListener;
use std::sync::OnceLock;
use std::{env, mem, thread};

use anyhow::Result;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_types::SdkConfig;
use aws_types::region::Region;
use serde_json::{Value, json};
use trackops_aws::aggregate::{Item, Table};
use trackops_http::Http1;
use trackops_local::clients::Aws;
use trackops_local::cloud::Cloud;
use trackops_local::instance::{Instance, REGION, workspace};
use trackops_local::python;
use uuid::Uuid;

const ENDPOINT: &str = "TRACKOPS_DYNAMODB_ENDPOINT";

/// A table that no other test uses.
pub struct OwnTable {
    pub table: Table,
    client: Client,
    name: String,
}

impl OwnTable {
    /// `resource` is the table's name in `template.yaml`.
    pub async fn like(resource: &str) -> Self {
        let endpoint = endpoint();
        let name = format!("{resource}-{}", Uuid::now_v7());
        let definition = definition(resource, &name).unwrap();
        let aws = Aws::at(endpoint);
        aws.call("dynamodb", "DynamoDB_20120810.CreateTable", &definition).await.unwrap();
        let config = config(endpoint);
        let table = Table::connect(&config, name.clone()).await;
        Self { table, client: Client::new(&config), name }
    }

    /// Sets `path` (`state`, `lines[0].gift`) of the item stored under `key`, as another version of this code would.
    pub async fn set(&self, key: &str, path: &str, value: AttributeValue) {
        let update = self.client.update_item().table_name(&self.name);
        let update = update.key("pk", AttributeValue::S(key.to_owned()));
        // Every step of the path is a placeholder: some are reserved words of DynamoDB.
        let steps: Vec<&str> = path.split('.').collect();
        let named = |(number, step): (usize, &&str)| match step.split_once('[') {
            Some((_, index)) => format!("#s{number}[{index}"),
            None => format!("#s{number}"),
        };
        let expression: Vec<String> = steps.iter().enumerate().map(named).collect();
        let names = steps.iter().enumerate().map(|(number, step)| {
            let name = step.split_once('[').map_or(*step, |(name, _)| name);
            (format!("#s{number}"), name.to_owned())
        });
        let update = update
            .update_expression(format!("SET {} = :value", expression.join(".")))
            .set_expression_attribute_names(Some(names.collect()))
            .expression_attribute_values(":value", value);
        update.condition_expression("attribute_exists(pk)").send().await.unwrap();
    }

    /// The item stored under `key`, attribute by attribute.
    pub async fn attributes(&self, key: &str) -> Item {
        let call = self.client.get_item().table_name(&self.name).consistent_read(true);
        let answer = call.key("pk", AttributeValue::S(key.to_owned())).send().await.unwrap();
        answer.item.unwrap_or_else(|| panic!("there is no {key}"))
    }
}

/// The input of CreateTable: those properties of the template's table that it takes.
fn definition(resource: &str, name: &str) -> Result<Value> {
    let template = fs::read_to_string(workspace().join("template.yaml"))?;
    let template: yaml_serde::Value = yaml_serde::from_str(&template)?;
    let properties = &template["Resources"][resource]["Properties"];
    let mut input = json!({"TableName": name});
    for part in [
        "BillingMode",
        "AttributeDefinitions",
        "KeySchema",
        "GlobalSecondaryIndexes",
        "StreamSpecification",
    ] {
        if let Some(given) = properties.get(part) {
            input[part] = serde_json::to_value(given)?;
        }
    }
    if let Some(stream) = input.get_mut("StreamSpecification") {
        // CloudFormation takes it for granted.
        stream["StreamEnabled"] = json!(true);
    }
    Ok(input)
}

fn config(endpoint: &str) -> SdkConfig {
    let account = Credentials::from_keys("000000000000", "local", None);
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::new(REGION))
        .credentials_provider(SharedCredentialsProvider::new(account))
        .http_client(Http1::plain())
        .sleep_impl(TokioSleep::new())
        .build()
}

fn endpoint() -> &'static str {
    static CHOSEN: OnceLock<String> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        env::var(ENDPOINT).unwrap_or_else(|_| {
            // On a thread of its own, because the caller is inside a runtime.
            let started = thread::spawn(start_local_cloud).join().expect("it did not panic");
            started.unwrap_or_else(|error| panic!("no DynamoDB to test with: {error:?}"))
        })
    })
}

/// Starts a cloud that ends when this process does, however that ends.
fn start_local_cloud() -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (instance, taken) = free_instance()?;
        let python = python::environment().await?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let cloud = Cloud::start(&instance, &python, port, false).await?;
        let endpoint = cloud.endpoint.clone();
        // If dropped, one would end the cloud, and the other would release its directory.
        mem::forget((cloud, taken));
        Ok(endpoint)
    })
}

/// The first directory that no other run of this suite uses, so that runs do not leave many directories behind.
fn free_instance() -> Result<(Instance, File)> {
    let mut number = 1;
    loop {
        let instance = Instance::named(&format!("store-{number}"))?;
        if let Some(taken) = instance.try_keep()? {
            return Ok((instance, taken));
        }
        number += 1;
    }
}
