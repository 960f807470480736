//! HTTP/1.1 over rustls and ring for the AWS SDK, and for the few requests that do not go to AWS.
//!
//! The SDK's own client supports HTTP/2 too. DynamoDB and similar services do not use it, and it made every function
//! some 0.3 MB larger, zipped (docs/decisions/0002-cold-start.md).
//!
//! HTTP/1.1 needs one connection for each request under way, and Lambda allows a function 1,024 open files ("Lambda
//! quotas", Lambda Developer Guide). So a client limits the number of requests under way, and the other requests wait
//! for their turn.

use std::error::Error;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, Client, connect::HttpConnector as Tcp};
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const CONNECTS_WITHIN: Duration = Duration::from_secs(1);

/// Requests under way at once. The same number of idle connections may be kept for later requests.
pub const AT_ONCE: usize = 128;

/// Which root certificates to trust.
#[derive(Clone, Copy, Debug)]
pub enum Roots<'a> {
    /// One file of root certificates (PEM), read in a millisecond; a folder of two hundred takes thirty.
    File(&'a Path),
    /// The root certificates of the machine.
    Native,
}

#[derive(Debug, thiserror::Error)]
#[error("the root certificates cannot be used")]
pub struct BadRoots(#[source] Box<dyn Error + Send + Sync>);

/// Keeps its connections; a clone shares them, and the limit.
#[derive(Clone, Debug)]
pub struct Http1 {
    client: Client<HttpsConnector<Tcp>, SdkBody>,
    turns: Arc<Semaphore>,
}

impl Http1 {
    pub fn new(roots: Roots<'_>) -> Result<Self, BadRoots> {
        trusted(roots).map(Self::trusting).map_err(BadRoots)
    }

    /// For plain `http://` addresses: no certificate is trusted.
    pub fn plain() -> Self {
        Self::trusting(RootCertStore::empty())
    }

    fn trusting(roots: RootCertStore) -> Self {
        let tls = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap_or_else(|_| unreachable!("ring has what TLS 1.2 and 1.3 need"));
        let tls = tls.with_root_certificates(roots).with_no_client_auth();
        let mut tcp = Tcp::new();
        tcp.enforce_http(false); // what comes after the handshake is https to it
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECTS_WITHIN));
        let tls = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(AT_ONCE)
            .build(tls.enable_http1().wrap_connector(tcp));
        Self { client, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

fn trusted(roots: Roots<'_>) -> Result<RootCertStore, Box<dyn Error + Send + Sync>> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::File(path) => {
            for certificate in CertificateDer::pem_file_iter(path)? {
                store.add(certificate?)?;
            }
        }
        Roots::Native => {
            let found = rustls_native_certs::load_native_certs();
            // Some machines have a few certificates that cannot be read; the others are used.
            store.add_parsable_certificates(found.certs);
            if let (true, Some(error)) = (store.is_empty(), found.errors.into_iter().next()) {
                return Err(error.into());
            }
        }
    }
    Ok(store)
}

impl HttpConnector for Http1 {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => {
                return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into())));
            }
        };
        let Self { client, turns } = self.clone();
        HttpConnectorFuture::new(async move {
            let turn = turns.acquire_owned().await;
            let turn = turn.map_err(|closed| ConnectorError::other(closed.into(), None))?;
            let answer = client.request(request).await.map_err(failed)?;
            let answer = answer.map(|body| Answer { body, turn: Some(turn) });
            HttpResponse::try_from(answer.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// A body holds its connection until it is read to its end, or dropped.
struct Answer {
    body: Incoming,
    turn: Option<OwnedSemaphorePermit>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(None | Some(Err(_))) = frame {
            self.turn = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl HttpClient for Http1 {
    fn http_connector(
        &self,
        // Not used: the SDK itself enforces the time limit of a whole attempt.
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// A request that broke on the way may be tried again; a request that can never be sent may not.
fn failed(error: legacy::Error) -> ConnectorError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(error_of) = cause {
        if error_of.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_user) {
            return ConnectorError::user(error.into());
        }
        let io = error_of.downcast_ref::<io::Error>();
        if io.is_some_and(|io| io.kind() == io::ErrorKind::TimedOut) {
            return ConnectorError::timeout(error.into());
        }
        cause = error_of.source();
    }
    ConnectorError::io(error.into())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::task::JoinSet;

    use super::*;

    /// A server that reads one request and then does `answer` with the connection, again and again.
    fn server(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                // One small request: it comes in one piece.
                let _ = connection.read(&mut [0; 4096]).unwrap();
                connection.write_all(answer).unwrap();
            }
        });
        address
    }

    async fn ask(url: &str) -> Result<HttpResponse, ConnectorError> {
        let client = Http1::plain();
        client.call(HttpRequest::get(url).unwrap()).await
    }

    #[tokio::test]
    async fn an_answer_comes_with_status_and_headers() {
        let address = server(b"HTTP/1.1 418 x\r\nx-kind: teapot\r\ncontent-length: 0\r\n\r\n");
        let answer = ask(&format!("http://{address}/")).await.unwrap();
        assert_eq!(answer.status().as_u16(), 418);
        assert_eq!(answer.headers().get("x-kind"), Some("teapot"));
    }

    #[tokio::test]
    async fn a_connection_that_breaks_or_cannot_be_made_may_be_tried_again() {
        let broken = server(b"");
        assert!(ask(&format!("http://{broken}/")).await.unwrap_err().is_io());
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(ask(&format!("http://{nobody}/")).await.unwrap_err().is_io());
    }

    #[tokio::test]
    async fn a_server_that_nobody_vouches_for_is_not_talked_to() {
        let address = server(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        assert!(ask(&format!("https://{address}/")).await.is_err());
    }

    /// A server that answers after a moment, and the most connections that it has at once.
    fn slow_server() -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::<AtomicUsize>::default());
        let most_of = most.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let open = open.clone();
                most_of.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    while connection.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                        std::thread::sleep(Duration::from_millis(20));
                        let _ =
                            connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
                    }
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        (address, most)
    }

    #[tokio::test]
    async fn however_many_requests_there_are_only_so_many_connections_are_open_and_all_are_answered()
     {
        let (address, most) = slow_server();
        let client = Http1::plain();
        let mut requests = JoinSet::new();
        for _ in 0..3 * AT_ONCE {
            let request = HttpRequest::get(format!("http://{address}/")).unwrap();
            let answer = client.call(request);
            // An answer is read to its end, as the SDK does.
            requests.spawn(async move { answer.await.map(|answer| answer.status().as_u16()) });
        }
        for answer in requests.join_all().await {
            assert_eq!(answer.unwrap(), 200);
        }
        let most = most.load(Ordering::SeqCst);
        assert!(most <= 2 * AT_ONCE, "{most} connections at once");
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        assert!(Http1::new(Roots::File(Path::new("/nowhere"))).is_err());
        assert!(Http1::new(Roots::Native).is_ok());
    }
}
