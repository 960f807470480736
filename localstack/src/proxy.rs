//! A service's API at a short address: forwards requests to the API on the local cloud.

use std::convert::Infallible;
use std::future::Future;
use std::net::TcpListener;

use anyhow::{Context, Result};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::{Deserialize, Serialize};

use crate::instance::Instance;

pub type Body = BoxBody<Bytes, hyper::Error>;

/// Where the APIs are on the local cloud. `up` writes it after every deployment; the proxies read it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Apis {
    pub orders: String,
    pub inventory: String,
    pub relay: String,
    pub payments: String,
}

impl Apis {
    pub const FILE: &'static str = "apis.json";
}

/// Forwards everything to the API that `choose` picks, until the process ends.
pub fn forward(
    listener: TcpListener,
    instance: Instance,
    choose: fn(Apis) -> String,
) -> Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    // Well below the 75 s after which the cloud closes an idle connection.
    let client = Client::builder(TokioExecutor::new())
        .pool_idle_timeout(std::time::Duration::from_secs(30))
        .build(connector);
    serve(listener, move |request| {
        let (client, instance) = (client.clone(), instance.clone());
        async move {
            pass_on(request, &client, &instance, choose).await.unwrap_or_else(|error| {
                problem(
                    StatusCode::BAD_GATEWAY,
                    &format!("the local cloud does not answer: {error:#}"),
                )
            })
        }
    })
}

async fn pass_on(
    mut request: Request<Incoming>,
    client: &Client<HttpConnector, Incoming>,
    instance: &Instance,
    choose: fn(Apis) -> String,
) -> Result<Response<Body>> {
    let Some(apis) = instance.read::<Apis>(Apis::FILE)? else {
        return Ok(problem(
            StatusCode::SERVICE_UNAVAILABLE,
            &format!("nothing is deployed yet: see {}", instance.command("up")),
        ));
    };
    let to_head = request.method() == Method::HEAD;
    *request.uri_mut() = target(&choose(apis), request.uri())?;
    drop_hop_by_hop(request.headers_mut());
    let mut response = client.request(request).await?;
    drop_hop_by_hop(response.headers_mut());
    if to_head && response.headers().get(CONTENT_LENGTH).is_some_and(|length| length == "0") {
        // The cloud's own server adds this header when the function did not give the length of the body. AWS does not
        // send it then.
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    Ok(response.map(BodyExt::boxed))
}

/// `base` with the path and query of `asked`, byte for byte: signatures may cover them.
fn target(base: &str, asked: &Uri) -> Result<Uri> {
    let path = asked.path_and_query().map_or("/", |path| path.as_str());
    format!("{base}{path}").parse().context("not an address")
}

/// Headers that are about one connection and not about the message (RFC 9110, 7.6.1).
fn drop_hop_by_hop(headers: &mut HeaderMap) {
    for name in [
        CONNECTION.as_str(),
        "keep-alive",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
    ] {
        headers.remove(name);
    }
}

/// An RFC 9457 answer of the runner itself.
pub fn problem(status: StatusCode, detail: &str) -> Response<Body> {
    let body =
        serde_json::json!({"title": "Local runner", "status": status.as_u16(), "detail": detail});
    answer(status, "application/problem+json", body.to_string())
}

pub fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
    let mut response =
        Response::new(Full::from(body).map_err(|never: Infallible| match never {}).boxed());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    response
}

/// Serves HTTP/1.1 in the background, until the process ends.
pub fn serve<H, F>(listener: TcpListener, handler: H) -> Result<()>
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    tokio::spawn(async move {
        loop {
            let Ok((connection, _)) = listener.accept().await else {
                // No file descriptors are left. Some will be free when other connections end.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            };
            let _ = connection.set_nodelay(true);
            let handler = handler.clone();
            let service = service_fn(move |request| {
                let answer = handler(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            // It does not matter if a client closes the connection.
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(connection), service),
            );
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_query_are_forwarded_byte_for_byte() {
        let asked: Uri = "/api/orders/a%20b?x=1&y=%2F".parse().unwrap();
        assert_eq!(
            target("http://127.0.0.1:4566/_aws/execute-api/abc/v1", &asked).unwrap().to_string(),
            "http://127.0.0.1:4566/_aws/execute-api/abc/v1/api/orders/a%20b?x=1&y=%2F"
        );
    }

    #[test]
    fn headers_of_the_connection_stay_behind_and_all_others_pass() {
        let mut headers = HeaderMap::new();
        headers.insert("connection", "keep-alive".parse().unwrap());
        headers.insert("trackops-signature", "v1=00".parse().unwrap());
        drop_hop_by_hop(&mut headers);
        assert_eq!(
            headers.keys().map(|name| name.as_str()).collect::<Vec<_>>(),
            ["trackops-signature"]
        );
    }
}
