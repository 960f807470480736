//! HTTP/1.1 over rustls and ring for the AWS SDK, and for the few requests that are not AWS's.
//!
//! The SDK's own client can do HTTP/2 too. DynamoDB and its like do not speak it, and it made every function
//! some 0.3 MB larger, zipped (docs/decisions/0002-cold-start.md).

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, Client, connect::HttpConnector as Tcp};
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};

const CONNECTS_WITHIN: Duration = Duration::from_secs(1);

/// Whom to trust.
#[derive(Clone, Copy, Debug)]
pub enum Roots<'a> {
    /// One file of root certificates (PEM), read in a millisecond; a folder of two hundred takes thirty.
    File(&'a Path),
    /// What the machine trusts.
    Native,
}

#[derive(Debug, thiserror::Error)]
#[error("the root certificates cannot be used")]
pub struct BadRoots(#[source] Box<dyn Error + Send + Sync>);

/// Keeps its connections; a clone shares them.
#[derive(Clone, Debug)]
pub struct Http1(Client<HttpsConnector<Tcp>, SdkBody>);

impl Http1 {
    pub fn new(roots: Roots<'_>) -> Result<Self, BadRoots> {
        trusted(roots).map(Self::trusting).map_err(BadRoots)
    }

    /// For plain `http://` addresses: it trusts nobody.
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
        Self(Client::builder(TokioExecutor::new()).build(tls.enable_http1().wrap_connector(tcp)))
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
            // Some machines have certificates that nobody can read among many that are fine.
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
        let answer = self.0.request(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await.map_err(failed)?;
            HttpResponse::try_from(answer.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

impl HttpClient for Http1 {
    fn http_connector(
        &self,
        // Of its settings the SDK itself keeps the time of a whole attempt.
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// Whatever broke on the way may be tried again; a request that nobody could send may not.
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

    #[test]
    fn a_file_without_certificates_is_refused() {
        assert!(Http1::new(Roots::File(Path::new("/nowhere"))).is_err());
        assert!(Http1::new(Roots::Native).is_ok());
    }
}
