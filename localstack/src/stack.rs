//! Deploys the packaged template with CloudFormation, as AWS would get it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_sdk_cloudformation::types::{Capability, Parameter, Stack};
use tokio::task::JoinSet;

use crate::clients::{Aws, BUCKET};
use crate::functions::{Package, content_hash};
use crate::instance::{Instance, STACK, workspace};
use crate::progress::Step;
use crate::proxy::Apis;
use crate::template::{Object, Template};

const WITHIN: Duration = Duration::from_secs(1200);

/// The outputs of the deployed stack, by name.
pub type Outputs = BTreeMap<String, String>;

/// Uploads what the template refers to and creates or updates the stack.
///
/// # Errors
/// When CloudFormation refuses it or a resource fails: names the resources and their reasons.
pub async fn deploy(
    instance: &Instance,
    aws: &Aws,
    template: Template,
    packages: BTreeMap<String, Package>,
    parameters: &BTreeMap<String, String>,
) -> Result<Outputs> {
    let step = Step::start("Deploying template.yaml with CloudFormation");
    let template_url = upload(aws, template, packages).await?;
    let client = aws.cloudformation();
    settle(instance, &client, &step).await?;
    let changed = apply(&client, &template_url, parameters).await?;
    if changed {
        wait(instance, &client, &step).await?;
    }
    let outputs = outputs(instance, aws).await?;
    step.done(if changed { "deployed" } else { "nothing changed" });
    Ok(outputs)
}

/// Uploads code, definitions and the template; the template's address.
async fn upload(
    aws: &Aws,
    template: Template,
    packages: BTreeMap<String, Package>,
) -> Result<String> {
    aws.create_bucket().await?;
    let mut objects = BTreeMap::new();
    let mut uploads = JoinSet::new();
    let mut add = |name: String, key: String, path: PathBuf| {
        objects.insert(name, Object { bucket: BUCKET.to_owned(), key: key.clone() });
        let aws = aws.clone();
        uploads.spawn(async move { aws.put_file(&key, &path).await });
    };
    for (name, package) in packages {
        add(name, package.key, package.path);
    }
    for name in template.definitions() {
        let path = workspace().join(&name);
        let content = fs::read(&path).with_context(|| format!("cannot read {name}"))?;
        let key = format!("definitions/{}.json", content_hash(&content));
        add(name, key, path);
    }
    while let Some(upload) = uploads.join_next().await {
        upload??;
    }
    // From S3, because a template in the request may have 51,200 bytes at most (CloudFormation quotas).
    let body = template.packaged(&objects)?.into_bytes();
    let key = format!("templates/{}.json", content_hash(&body));
    aws.put_object(&key, body).await?;
    Ok(aws.object_url(&key))
}

/// Brings a stack that an interrupted or failed deployment left behind into a state that can be deployed to.
async fn settle(instance: &Instance, client: &Client, step: &Step) -> Result<()> {
    let Some(stack) = find(client).await? else {
        return Ok(());
    };
    if status(&stack).ends_with("_IN_PROGRESS") {
        step.note("waiting for an earlier deployment");
        // In whatever state the other deployment ends, this one repairs it.
        let _ = wait(instance, client, step).await;
    }
    let Some(stack) = find(client).await? else {
        return Ok(());
    };
    if ["CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"]
        .contains(&status(&stack))
    {
        step.note("removing what a failed deployment left");
        client.delete_stack().stack_name(STACK).send().await.map_err(explain)?;
        let deadline = Instant::now() + WITHIN;
        while find(client).await?.is_some() {
            if Instant::now() > deadline {
                bail!(
                    "the failed stack does not go away: {}, then start again",
                    instance.command("down")
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

/// Returns false when the stack needs no change.
async fn apply(
    client: &Client,
    template_url: &str,
    parameters: &BTreeMap<String, String>,
) -> Result<bool> {
    let parameters = parameters
        .iter()
        .map(|(name, value)| {
            Parameter::builder().parameter_key(name).parameter_value(value).build()
        })
        .collect::<Vec<_>>();
    let capabilities = vec![
        Capability::CapabilityIam,
        Capability::CapabilityNamedIam,
        Capability::CapabilityAutoExpand,
    ];
    if find(client).await?.is_none() {
        client
            .create_stack()
            .stack_name(STACK)
            .template_url(template_url)
            .set_parameters(Some(parameters))
            .set_capabilities(Some(capabilities))
            .send()
            .await
            .map_err(explain)?;
        return Ok(true);
    }
    let update = client
        .update_stack()
        .stack_name(STACK)
        .template_url(template_url)
        .set_parameters(Some(parameters))
        .set_capabilities(Some(capabilities))
        .send()
        .await;
    match update {
        Ok(_) => Ok(true),
        Err(error)
            if error
                .message()
                .is_some_and(|message| message.contains("No updates are to be performed")) =>
        {
            Ok(false)
        }
        Err(error) => Err(explain(error)),
    }
}

/// Waits until the deployment ends.
///
/// # Errors
/// When it failed: with the resources that failed first and why.
async fn wait(instance: &Instance, client: &Client, step: &Step) -> Result<()> {
    let started = Instant::now();
    let mut noted = started;
    loop {
        let stack = find(client).await?.context("the stack has gone: was it deleted meanwhile?")?;
        match status(&stack) {
            "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS" => {
                return Ok(());
            }
            busy if busy.ends_with("_IN_PROGRESS") => {}
            failed => bail!("the deployment ended as {failed}:\n{}", reasons(client).await?),
        }
        if started.elapsed() > WITHIN {
            bail!(
                "the deployment did not end within {} s: see {}",
                WITHIN.as_secs(),
                instance.command("status")
            );
        }
        if noted.elapsed() > Duration::from_secs(5) {
            noted = Instant::now();
            step.note(&resources_done(client).await?);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn resources_done(client: &Client) -> Result<String> {
    let answer =
        client.describe_stack_resources().stack_name(STACK).send().await.map_err(explain)?;
    let all = answer.stack_resources();
    let done = all.iter().filter(|resource| {
        resource.resource_status().is_some_and(|status| status.as_str().ends_with("_COMPLETE"))
    });
    Ok(format!("{} of {} resources", done.count(), all.len()))
}

/// The resources that failed in the last deployment, the first failure first.
async fn reasons(client: &Client) -> Result<String> {
    let answer = client.describe_stack_events().stack_name(STACK).send().await.map_err(explain)?;
    // Newest first, up to where the deployment began.
    let began = |reason: Option<&str>| reason == Some("User Initiated");
    let mut lines: Vec<String> = answer
        .stack_events()
        .iter()
        .take_while(|event| !began(event.resource_status_reason()))
        .filter(|event| {
            event.resource_status().is_some_and(|status| status.as_str().ends_with("_FAILED"))
        })
        .map(|event| {
            format!(
                "  {}: {}",
                event.logical_resource_id().unwrap_or_default(),
                event.resource_status_reason().unwrap_or("no reason given")
            )
        })
        .collect();
    lines.reverse();
    Ok(lines.join("\n"))
}

/// The stack's status, `None` when it is not deployed.
pub async fn state(aws: &Aws) -> Result<Option<String>> {
    Ok(find(&aws.cloudformation()).await?.map(|stack| status(&stack).to_owned()))
}

async fn find(client: &Client) -> Result<Option<Stack>> {
    match client.describe_stacks().stack_name(STACK).send().await {
        Ok(answer) => Ok(answer.stacks.unwrap_or_default().into_iter().next()),
        Err(error) if error.message().is_some_and(|message| message.contains("does not exist")) => {
            Ok(None)
        }
        Err(error) => Err(explain(error)),
    }
}

fn status(stack: &Stack) -> &str {
    stack.stack_status().map_or("", |status| status.as_str())
}

/// The outputs of the deployed stack.
///
/// # Errors
/// When there is none.
pub async fn outputs(instance: &Instance, aws: &Aws) -> Result<Outputs> {
    let stack = find(&aws.cloudformation())
        .await?
        .with_context(|| format!("nothing is deployed: see {}", instance.command("up")))?;
    let outputs = stack.outputs.unwrap_or_default();
    Ok(outputs
        .into_iter()
        .filter_map(|output| Some((output.output_key?, output.output_value?)))
        .collect())
}

/// Where a deployed stack's APIs are.
///
/// # Errors
/// When the template lacks an output that says so.
pub fn apis(outputs: &Outputs, endpoint: &str, origin: Option<&String>) -> Result<Apis> {
    let output = |name: &str| {
        outputs.get(name).with_context(|| format!("template.yaml has no output {name}"))
    };
    let stage = output("ApiStage")?;
    let address = |name| {
        Ok::<_, anyhow::Error>(format!("{endpoint}/_aws/execute-api/{}/{stage}", output(name)?))
    };
    Ok(Apis {
        orders: address("OrdersApiId")?,
        inventory: address("InventoryApiId")?,
        relay: address("RelayApiId")?,
        payments: address("PaymentsApiId")?,
        origin: origin.filter(|origin| !origin.is_empty()).cloned(),
    })
}

fn explain<E: std::error::Error + ProvideErrorMetadata>(error: E) -> anyhow::Error {
    match error.message() {
        Some(message) => anyhow::anyhow!("CloudFormation: {message}"),
        None => anyhow::anyhow!("CloudFormation: {}", DisplayErrorContext(&error)),
    }
}

/// The parameters of a deployment: the runner's own, then what the user asks for.
///
/// # Errors
/// When the user names a parameter that the template does not have.
pub fn parameters(
    template: &Template,
    own: &[(&str, String)],
    asked: &[(String, String)],
) -> Result<BTreeMap<String, String>> {
    let known = template.parameters();
    if let Some((name, _)) = asked.iter().find(|(name, _)| !known.contains(name.as_str())) {
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        bail!("template.yaml has no parameter {name}: it has {known}");
    }
    let own = own
        .iter()
        .filter(|(name, _)| known.contains(name))
        .map(|(name, value)| ((*name).to_owned(), value.clone()));
    Ok(own.chain(asked.iter().cloned()).collect())
}
