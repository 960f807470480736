//! The local token issuer: its public keys, at the addresses of OpenID Connect Discovery 1.0.

use std::net::TcpListener;

use anyhow::Result;
use hyper::StatusCode;
use serde_json::json;

use crate::instance::Instance;
use crate::proxy::{answer, problem, serve};
use crate::token::{Signer, jwks};

/// Where the keys are, below the issuer's address.
pub const JWKS_PATH: &str = "/.well-known/jwks.json";

/// Serves the documents until the process ends.
pub fn publish(
    instance: &Instance,
    listener: TcpListener,
    issuer: &str,
    signers: &[&Signer],
) -> Result<()> {
    let hint = format!("tokens come from {}", instance.command("token"));
    let discovery = json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}{JWKS_PATH}"),
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
    .to_string();
    let keys = jwks(signers).to_string();
    let no_page = |_: &str| false;
    serve(listener, no_page, move |request| {
        let document = match request.uri().path() {
            "/.well-known/openid-configuration" => Some(discovery.clone()),
            JWKS_PATH => Some(keys.clone()),
            _ => None,
        };
        let hint = hint.clone();
        async move {
            match document {
                Some(document) => answer(StatusCode::OK, "application/json", document),
                None => problem(StatusCode::NOT_FOUND, &hint),
            }
        }
    })
}
