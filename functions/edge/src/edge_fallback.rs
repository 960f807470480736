//! Answers what no endpoint answers: `OPTIONS` of a path lists its methods, another method is a 405, an unknown path a
//! 404.

use std::collections::BTreeMap;
use std::str::FromStr;

use lambda_http::http::{HeaderValue, Method, StatusCode, header};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt, Response};
use trackops_lambda::http::Answer;
use trackops_lambda::problem::Problem;

/// What `Allow` says of each path of an API, by its pattern, such as `/api/orders/{id}`.
#[derive(Debug)]
pub struct Endpoints(BTreeMap<String, HeaderValue>);

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no path with its methods, such as `/api/orders GET POST`")]
pub struct BadEndpoint(String);

impl FromStr for Endpoints {
    type Err = BadEndpoint;

    /// Commas between the paths; after each its methods.
    fn from_str(text: &str) -> Result<Self, BadEndpoint> {
        let endpoint = |text: &str| {
            let mut words = text.split_whitespace();
            let path = words.next().filter(|path| path.starts_with('/'))?;
            let mut methods: Vec<&str> = words.collect();
            let known = |method: &&str| method.bytes().all(|b| b.is_ascii_uppercase());
            if methods.is_empty() || !methods.iter().all(known) {
                return None;
            }
            methods.push("OPTIONS");
            Some((path.to_owned(), HeaderValue::from_str(&methods.join(", ")).ok()?))
        };
        let bad = |text: &str| BadEndpoint(text.to_owned());
        let endpoints = text.split(',').map(|text| endpoint(text).ok_or_else(|| bad(text)));
        endpoints.collect::<Result<_, _>>().map(Self)
    }
}

pub async fn handle(endpoints: &Endpoints, request: Request) -> Answer {
    let allowed = pattern(&request).and_then(|path| endpoints.0.get(path)).ok_or_else(|| {
        Problem::not_found("not-found", "There is nothing at this path of this API.")
    })?;
    let mut response = if request.method() == Method::OPTIONS {
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    } else {
        let title = "This path does not take this method. Allow says which it takes.";
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", title).into_response()
    };
    response.headers_mut().insert(header::ALLOW, allowed.clone());
    Ok(response)
}

/// The pattern of the path that API Gateway found.
fn pattern(request: &Request) -> Option<&str> {
    match request.request_context_ref()? {
        RequestContext::ApiGatewayV1(context) => context.resource_path.as_deref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use lambda_http::aws_lambda_events::apigw::ApiGatewayProxyRequestContext;

    use super::*;

    async fn asked(method: Method, resource: &str) -> Response<Body> {
        let endpoints: Endpoints =
            "/api/orders GET POST,\n /api/orders/{id} DELETE GET".parse().unwrap();
        let mut context = ApiGatewayProxyRequestContext::default();
        context.resource_path = Some(resource.to_owned());
        let mut request =
            Request::default().with_request_context(RequestContext::ApiGatewayV1(context));
        *request.method_mut() = method;
        handle(&endpoints, request).await.unwrap_or_else(Problem::into_response)
    }

    #[tokio::test]
    async fn a_method_that_the_path_does_not_take_is_told_those_that_it_takes() {
        for (resource, allowed) in
            [("/api/orders", "GET, POST, OPTIONS"), ("/api/orders/{id}", "DELETE, GET, OPTIONS")]
        {
            let answer = asked(Method::PATCH, resource).await;
            assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(answer.headers()[header::ALLOW], allowed);
            let answer = asked(Method::OPTIONS, resource).await;
            assert_eq!(answer.status(), StatusCode::NO_CONTENT);
            assert_eq!(answer.headers()[header::ALLOW], allowed);
        }
    }

    #[tokio::test]
    async fn a_path_that_does_not_exist_is_a_404_for_every_method() {
        for method in [Method::GET, Method::POST, Method::OPTIONS] {
            let answer = asked(method, "/{proxy+}").await;
            assert_eq!(answer.status(), StatusCode::NOT_FOUND);
            assert_eq!(answer.headers().get(header::ALLOW), None);
        }
        let nowhere = handle(&"/a GET".parse().unwrap(), Request::default()).await;
        assert_eq!(nowhere.unwrap_err().status, StatusCode::NOT_FOUND);
    }

    #[test]
    fn what_names_no_path_or_no_method_is_refused_at_the_start() {
        for bad in ["", "/a", "GET", "/a GET,", "/a get", "a GET"] {
            assert!(bad.parse::<Endpoints>().is_err(), "{bad:?}");
        }
    }
}
