//! Functions as Lambda runs them: a release build, an environment, and a Runtime API that hands out events.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub type Environment = HashMap<String, String>;

/// Lambda's limit of open files. Source: "Lambda quotas", Lambda Developer Guide.
pub const DESCRIPTORS: u32 = 1024;

/// An invocation that is not answered within this time is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The environment that Lambda gives a function, with AWS at `endpoint`.
pub fn environment(name: &str, region: &str, endpoint: String) -> Environment {
    let all = [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_REGION", region.to_owned()),
        ("AWS_DEFAULT_REGION", region.to_owned()),
        ("AWS_ACCESS_KEY_ID", "000000000000".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
        ("AWS_LAMBDA_FUNCTION_NAME", name.to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}")),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "bench".to_owned()),
    ];
    all.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Answers all requests to a new address, until the task is aborted.
pub async fn serve<F, A, E>(answer: F) -> Result<(SocketAddr, JoinHandle<()>)>
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Result<Response<Full<Bytes>>, E>> + Send + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // As AWS does: without it the answer waits for the kernel to fill a packet.
            let _ = stream.set_nodelay(true);
            let service = service_fn(answer.clone());
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
    Ok((address, server))
}

/// A running bootstrap; gone when it is dropped.
pub struct Function(Child);

impl Function {
    pub fn spawn(bootstrap: &Path, environment: &Environment, api: &RuntimeApi) -> Result<Self> {
        Self::start(Command::new(bootstrap), bootstrap, environment, api)
    }

    /// The same, in a process that may open at most so many files.
    pub fn spawn_with_files(
        bootstrap: &Path,
        environment: &Environment,
        api: &RuntimeApi,
        files: u32,
    ) -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {files} && exec \"$0\"")]).arg(bootstrap);
        Self::start(command, bootstrap, environment, api)
    }

    fn start(
        mut command: Command,
        bootstrap: &Path,
        environment: &Environment,
        api: &RuntimeApi,
    ) -> Result<Self> {
        let function = command
            .env_clear()
            .envs(environment)
            .env("AWS_LAMBDA_RUNTIME_API", &api.address)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", bootstrap.display()))?;
        Ok(Self(function))
    }

    /// The processor time that its one thread has used; `None` where the system does not report it as Linux does.
    pub fn cpu(&self) -> Option<Duration> {
        let path = format!("/proc/{}/schedstat", self.id());
        let nanoseconds = std::fs::read_to_string(path).ok()?;
        nanoseconds.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

type Outcome = Result<Value, String>;

/// The Runtime API of one function.
pub struct RuntimeApi {
    address: String,
    queue: Arc<Queue>,
    server: JoinHandle<()>,
}

/// Invocations: given out in order, answered one at a time.
#[derive(Default)]
struct Queue {
    waiting: Mutex<VecDeque<(Bytes, oneshot::Sender<Outcome>)>>,
    added: Notify,
    running: Mutex<Option<oneshot::Sender<Outcome>>>,
}

impl RuntimeApi {
    pub async fn start() -> Result<Self> {
        let queue = Arc::<Queue>::default();
        let queue_of = queue.clone();
        let (address, server) = serve(move |request| queue_of.clone().answer(request)).await?;
        Ok(Self { address: address.to_string(), queue, server })
    }

    /// Offers `event` as the function's next invocation, and returns the function's answer.
    pub fn invoke(&self, event: Bytes) -> impl Future<Output = Result<Value>> + use<> {
        let (tell, told) = oneshot::channel();
        self.queue.waiting().push_back((event, tell));
        self.queue.added.notify_one();
        async {
            let outcome =
                timeout(PATIENCE, told).await.context("the function did not answer")??;
            outcome.map_err(|error| anyhow!("the function failed: {error}"))
        }
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Queue {
    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<(Bytes, oneshot::Sender<Outcome>)>> {
        self.waiting.lock().expect("nobody panics holding it")
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<oneshot::Sender<Outcome>>> {
        self.running.lock().expect("nobody panics holding it")
    }

    /// The function waits here until there is an invocation.
    async fn next(&self) -> Bytes {
        loop {
            let next = self.waiting().pop_front();
            if let Some((event, tell)) = next {
                *self.running() = Some(tell);
                return event;
            }
            self.added.notified().await;
        }
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        if method == Method::GET {
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
                .body(Full::from(self.next().await));
            return Ok(next.expect("the response is well-formed"));
        }
        let body =
            request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let outcome = if path.ends_with("/response") {
            serde_json::from_slice(&body).map_err(|error| error.to_string())
        } else {
            Err(String::from_utf8_lossy(&body).into_owned())
        };
        // A function that cannot even start fails the first one.
        let first = || self.waiting().pop_front().map(|(_, tell)| tell);
        let running = self.running().take();
        if let Some(tell) = running.or_else(first) {
            let _ = tell.send(outcome);
        }
        let mut accepted = Response::new(Full::default());
        *accepted.status_mut() = StatusCode::ACCEPTED;
        Ok(accepted)
    }
}

pub fn median<T: Ord + Copy>(mut measured: Vec<T>) -> T {
    measured.sort();
    measured[measured.len() / 2]
}
