//! From spawning a bootstrap to its first response, through a Runtime API as Lambda serves it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use trackops_testkit::{Basket, World, workspace_root};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Starts both functions in turn, so that whatever else the machine does touches both alike.
///
/// How long the local cloud's DynamoDB takes to answer says nothing of the function, and less of AWS. So it answers one
/// start for real, and every start that counts gets the same answers at once.
pub async fn measure(world: &World, sku: &str, starts: u32) -> Result<()> {
    let create_order = build(&["--bin", "create-order"])?;
    let hello_world = build(&["--example", "hello-world"])?;
    let event = place_order(world, &Basket::of(sku, 1));
    let store = Arc::new(Store::before(world));
    let mut environment = environment_of(world, "create-order").await?;
    environment.insert("AWS_ENDPOINT_URL".to_owned(), store.clone().serve().await?);
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
    println!("cold start, spawn to first response, median of {starts}:");
    println!("  hello-world  {} us", theirs.as_micros());
    println!(
        "  create-order {} us, {whole}.{rest:02} times hello-world; DynamoDB's {} answers come at once",
        ours.as_micros(),
        store.answers()
    );
    println!("  create-order {} us, once, with the local cloud's DynamoDB", really.as_micros());
    let bootstrap = std::fs::read(&create_order)?;
    let zipped = zipped(&bootstrap)?;
    println!("size of create-order: {} bytes, zipped {zipped} bytes", bootstrap.len());
    Ok(())
}

/// Bytes of what Lambda is given, deflated at the default level.
fn zipped(bootstrap: &[u8]) -> Result<usize> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("bootstrap", SimpleFileOptions::default().compression_level(Some(6)))?;
    zip.write_all(bootstrap)?;
    Ok(zip.finish()?.into_inner().len())
}

fn build(what: &[&str]) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(workspace_root())
        .args(["build", "--release", "--message-format", "json-render-diagnostics"])
        .args(what)
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "cargo build --release {what:?} failed");
    let messages = String::from_utf8(output.stdout)?;
    let executable = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    };
    messages.lines().filter_map(executable).next_back().context("cargo built no executable")
}

/// What the deployed function is told by its environment.
async fn environment_of(world: &World, job: &str) -> Result<HashMap<String, String>> {
    let name = world.system.function(job);
    let deployed = world.lambda.get_function_configuration().function_name(&name).send().await?;
    let mut environment =
        deployed.environment().and_then(|all| all.variables()).cloned().unwrap_or_default();
    let region = world.system.region.clone();
    environment.extend(
        [
            ("AWS_ENDPOINT_URL", world.system.endpoint.clone()),
            ("AWS_REGION", region.clone()),
            ("AWS_DEFAULT_REGION", region),
            ("AWS_ACCESS_KEY_ID", "000000000000".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
            ("AWS_LAMBDA_FUNCTION_NAME", name.clone()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}")),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "bench".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    Ok(environment)
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

/// Stands before the local cloud: passes on what it has not been asked before, and knows the answer from then on.
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
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(serve(listener, move |request| self.clone().answer(request)));
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

/// Answers everything that `listener` is asked.
async fn serve<F, A, E>(listener: TcpListener, answer: F)
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Result<Response<Full<Bytes>>, E>> + Send + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
{
    while let Ok((stream, _)) = listener.accept().await {
        // As AWS does: without it the answer waits for the kernel to fill a packet.
        let _ = stream.set_nodelay(true);
        let service = service_fn(answer.clone());
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection);
    }
}

type Outcome = Result<Value, String>;

/// Spawns `bootstrap`, hands it `event` when it asks, and answers how long its response took.
async fn first_response(
    bootstrap: &Path,
    environment: &HashMap<String, String>,
    event: &Value,
) -> Result<(Duration, Value)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (tell, told) = oneshot::channel();
    let invocation = Arc::new(Invocation {
        event: Mutex::new(Some(event.to_string())),
        outcome: Mutex::new(Some(tell)),
    });
    let server = tokio::spawn(serve(listener, move |request| invocation.clone().answer(request)));

    let started = Instant::now();
    let mut function = Command::new(bootstrap)
        .env_clear()
        .envs(environment)
        .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let outcome = tokio::time::timeout(Duration::from_secs(30), told).await;
    let took = started.elapsed();
    function.kill()?;
    function.wait()?;
    server.abort();
    match outcome.with_context(|| format!("{} did not answer", bootstrap.display()))?? {
        Ok(answer) => Ok((took, answer)),
        Err(error) => bail!("{} failed: {error}", bootstrap.display()),
    }
}

/// One invocation: given out once, answered once.
struct Invocation {
    event: Mutex<Option<String>>,
    outcome: Mutex<Option<oneshot::Sender<Outcome>>>,
}

impl Invocation {
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        if method == Method::GET {
            let Some(event) = self.event.lock().expect("nobody panics holding it").take() else {
                // There is no second event: the function waits here until it is ended.
                return std::future::pending().await;
            };
            let next = Response::builder()
                .header("Content-Type", "application/json")
                .header("Lambda-Runtime-Aws-Request-Id", "bench")
                .header("Lambda-Runtime-Deadline-Ms", "4102444800000")
                .header(
                    "Lambda-Runtime-Invoked-Function-Arn",
                    "arn:aws:lambda:eu-central-1:000000000000:function:bench",
                )
                .header(
                    "Lambda-Runtime-Trace-Id",
                    "Root=1-00000000-000000000000000000000000;Sampled=0",
                )
                .body(Full::from(event));
            return Ok(next.expect("the response is well-formed"));
        }
        let body =
            request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let outcome = if path.ends_with("/response") {
            serde_json::from_slice(&body).map_err(|error| error.to_string())
        } else {
            Err(String::from_utf8_lossy(&body).into_owned())
        };
        if let Some(tell) = self.outcome.lock().expect("nobody panics holding it").take() {
            let _ = tell.send(outcome);
        }
        let mut accepted = Response::new(Full::default());
        *accepted.status_mut() = StatusCode::ACCEPTED;
        Ok(accepted)
    }
}

fn median(mut measured: Vec<Duration>) -> Duration {
    measured.sort();
    measured[measured.len() / 2]
}
