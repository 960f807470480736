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

use crate::guard;
use crate::instance::Instance;

pub type Body = BoxBody<Bytes, hyper::Error>;

/// Where the APIs are on the local cloud. `up` writes it after every deployment; the proxies read it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Apis {
    pub orders: String,
    pub inventory: String,
    pub relay: String,
    pub payments: String,
    /// The origin whose pages may call the APIs from a browser: the parameter `CorsOrigin`.
    pub origin: Option<String>,
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
    let apis = instance.clone();
    let may_call = move |origin: &str| {
        let apis = apis.read::<Apis>(Apis::FILE).ok().flatten();
        apis.and_then(|apis| apis.origin).is_some_and(|ours| ours.eq_ignore_ascii_case(origin))
    };
    serve(listener, may_call, move |request| {
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

/// Serves HTTP/1.1 in the background, until the process ends. Refuses what web pages send, but for those of an origin
/// that `may_call`.
pub fn serve<H, F>(
    listener: TcpListener,
    may_call: impl Fn(&str) -> bool + Clone + Send + 'static,
    handler: H,
) -> Result<()>
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
            let (handler, may_call) = (handler.clone(), may_call.clone());
            let service = service_fn(move |request| {
                let answer = guard::check(request.headers(), &may_call).map(|()| handler(request));
                async move {
                    Ok::<_, Infallible>(match answer {
                        Ok(answer) => answer.await,
                        Err(reason) => problem(StatusCode::FORBIDDEN, reason),
                    })
                }
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
    use crate::http::Http;

    #[tokio::test]
    async fn a_port_of_the_runner_answers_programs_and_refuses_pages_of_other_origins() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let may_call = |origin: &str| origin == "https://shop.example";
        let done = |_| async { answer(StatusCode::OK, "text/plain", "done".to_owned()) };
        serve(listener, may_call, done).unwrap();
        let http = Http::new();
        let asked = async |name: &str, value: &str| {
            let request = Request::post(&url).header(name, value);
            http.send(request, b"{}".to_vec()).await.unwrap()
        };
        assert_eq!(asked("accept", "*/*").await.text(), "done");
        assert_eq!(asked("origin", "https://shop.example").await.text(), "done");
        for (name, value) in [
            ("Host", "evil.example"),
            ("Origin", "https://evil.example"),
            ("Sec-Fetch-Site", "cross-site"),
        ] {
            let refused = asked(name, value).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{name}");
            let body = refused.json().unwrap();
            let detail = body["detail"].as_str().unwrap();
            assert!(detail.starts_with(&format!("The {name} header was refused: ")), "{detail}");
        }
    }

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
