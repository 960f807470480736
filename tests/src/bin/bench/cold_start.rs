//! From spawning a bootstrap to its first response, through a Runtime API as Lambda serves it.

use std::collections::HashMap;
use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use serde_json::{Value, json};
use trackops_local::say;
use trackops_testkit::{Basket, World, build};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use trackops_tests::lambda::{Environment, Function, RuntimeApi, environment, median, serve};

/// Starts both functions in turn, so that other load on the machine affects both alike.
///
/// The time that the local cloud's DynamoDB takes to answer does not depend on the function, and says nothing about
/// AWS. So DynamoDB answers only one start. Every start that is measured gets the same answers at once.
pub async fn measure(world: &World, sku: &str, starts: u32) -> Result<()> {
    let create_order = build(&["--release", "--bin", "create-order"])?;
    let hello_world = build(&["--release", "--example", "hello-world"])?;
    let event = place_order(world, &Basket::of(sku, 1));
    let store = Arc::new(Store::before(world));
    let endpoint = store.clone().serve().await?;
    let environment = environment_of(world, "create-order", endpoint).await?;
    let start = async || {
        let (took, answer) = first_response(&create_order, &environment, &event).await?;
        ensure!(answer["statusCode"] == 201, "create-order answered {answer}");
        anyhow::Ok((took, answer))
    };

    let (really, answer) = start().await?;
    let order: Value = serde_json::from_str(answer["body"].as_str().unwrap_or_default())?;
    let id = order["orderId"].as_str().context("the answer names no order")?;
    // Its saga would compete with what is measured.
    world.until_status(id, &["CONFIRMED"]).await;

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..starts {
        ours.push(start().await?.0);
        theirs.push(first_response(&hello_world, &environment, &event).await?.0);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let hundredths = ours.as_micros() * 100 / theirs.as_micros().max(1);
    let (whole, rest) = (hundredths / 100, hundredths % 100);
    say!("cold start, spawn to first response, median of {starts}:")?;
    say!("  hello-world  {} us", theirs.as_micros())?;
    say!(
        "  create-order {} us, {whole}.{rest:02} times hello-world; DynamoDB's {} answers come at once",
        ours.as_micros(),
        store.answers()
    )?;
    say!("  create-order {} us, once, with the local cloud's DynamoDB", really.as_micros())?;
    let bootstrap = std::fs::read(&create_order)?;
    let zipped = zipped(&bootstrap)?;
    say!("size of create-order: {} bytes, zipped {zipped} bytes", bootstrap.len())?;
    Ok(())
}

/// Size in bytes of the zip for Lambda, deflated at the default level.
fn zipped(bootstrap: &[u8]) -> Result<usize> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("bootstrap", SimpleFileOptions::default().compression_level(Some(6)))?;
    zip.write_all(bootstrap)?;
    Ok(zip.finish()?.into_inner().len())
}

/// The environment variables of the deployed function, except the address of AWS.
async fn environment_of(world: &World, job: &str, endpoint: String) -> Result<Environment> {
    let name = world.system.function(job);
    let deployed = world.lambda.get_function_configuration().function_name(&name).send().await?;
    let mut all =
        deployed.environment().and_then(|all| all.variables()).cloned().unwrap_or_default();
    all.extend(environment(&name, &world.system.region, endpoint));
    Ok(all)
}

/// `POST /api/orders` as API Gateway passes it on.
fn place_order(world: &World, basket: &Basket) -> Value {
    let authorization = world.customer.authorization();
    let (content_type, path) = ("application/json", "/api/orders");
    json!({
        "resource": path, "path": path, "httpMethod": "POST",
        "headers": {"Authorization": authorization, "Content-Type": content_type},
        "multiValueHeaders": {"Authorization": [authorization], "Content-Type": [content_type]},
        "queryStringParameters": null, "multiValueQueryStringParameters": null,
        "pathParameters": null, "stageVariables": null,
        "requestContext": {
            "accountId": "000000000000", "apiId": "bench", "httpMethod": "POST", "path": path,
            "resourcePath": path, "resourceId": "bench", "stage": "v1", "requestId": "bench",
            "protocol": "HTTP/1.1", "identity": {"sourceIp": "127.0.0.1"},
        },
        "body": basket.body().to_string(), "isBase64Encoded": false,
    })
}

/// A proxy before the local cloud: it passes on new requests, and repeats the answer when the same request comes again.
struct Store {
    cloud: String,
    http: reqwest::Client,
    /// By operation (`X-Amz-Target`): each start asks the same.
    known: Mutex<HashMap<String, Bytes>>,
}

impl Store {
    fn before(world: &World) -> Self {
        let cloud = world.system.endpoint.clone();
        Self { cloud, http: world.http.clone(), known: Mutex::default() }
    }

    fn answers(&self) -> usize {
        self.known.lock().expect("nobody panics holding it").len()
    }

    async fn serve(self: Arc<Self>) -> Result<String> {
        let (address, _) = serve(move |request| self.clone().answer(request)).await?;
        Ok(format!("http://{address}"))
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let (head, body) = request.into_parts();
        let target = head.headers.get("x-amz-target").context("not a call of DynamoDB")?;
        let target = target.to_str()?.to_owned();
        let body = body.collect().await?.to_bytes();
        let known = self.known.lock().expect("nobody panics holding it").get(&target).cloned();
        let answer = match known {
            Some(answer) => answer,
            None => {
                let url = format!("{}{}", self.cloud, head.uri);
                let asked = self.http.request(head.method, url).headers(head.headers).body(body);
                let answer = asked.send().await?.error_for_status()?.bytes().await?;
                let mut known = self.known.lock().expect("nobody panics holding it");
                known.insert(target, answer.clone());
                answer
            }
        };
        let json = Response::builder().header("content-type", "application/x-amz-json-1.0");
        Ok(json.body(Full::from(answer))?)
    }
}

/// Spawns `bootstrap`, gives it `event` when it asks for one, and returns how long its response took.
async fn first_response(
    bootstrap: &Path,
    environment: &Environment,
    event: &Value,
) -> Result<(Duration, Value)> {
    let api = RuntimeApi::start().await?;
    let answer = api.invoke(event.to_string().into());
    let started = Instant::now();
    let _function = Function::spawn(bootstrap, environment, &api)?;
    let answer = answer.await?;
    Ok((started.elapsed(), answer))
}
