//! The variables that the runbooks' commands need, for `eval "$(cargo local env)"` in a shell.

use anyhow::Result;

use crate::clients::{ACCOUNT, SECRET};
use crate::instance::{Endpoints, Instance};
use crate::say;
use crate::token::{Role, Which, sign};

/// Prints it: the APIs' addresses, an operator's token, and an AWS CLI that speaks to the local cloud.
///
/// # Errors
/// When the instance does not run.
pub fn env(instance: &Instance) -> Result<()> {
    let endpoints = instance.expect_running()?.endpoints;
    let token = sign(instance.name(), Which::Current, Role::Operator, None)?;
    say!("{}", commands(&endpoints, &token))?;
    Ok(())
}

fn commands(endpoints: &Endpoints, token: &str) -> String {
    let Endpoints { endpoint, orders, inventory, relay, payments, region, stack, .. } = endpoints;
    let variables = [
        ("STACK", stack.as_str()),
        ("ORDERS_URL", orders),
        ("INVENTORY_URL", inventory),
        ("RELAY_URL", relay),
        ("PAYMENTS_URL", payments),
        ("TOKEN", token),
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_REGION", region),
        ("AWS_DEFAULT_REGION", region),
        ("AWS_ACCESS_KEY_ID", ACCOUNT),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_PAGER", ""),
    ];
    let exports = variables.iter().map(|(name, value)| format!("export {name}='{value}'\n"));
    let exports: String = exports.collect();
    // The AWS CLI before 2.13 ignores AWS_ENDPOINT_URL. The user's own profile or session must not be used.
    format!(
        "{exports}unset AWS_PROFILE AWS_SESSION_TOKEN\n\
         aws() {{ command aws --endpoint-url '{endpoint}' \"$@\"; }}"
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_that_takes_it_has_the_addresses_and_an_aws_that_asks_the_local_cloud() {
        let at = |port: u16| format!("http://127.0.0.1:{port}");
        let endpoints = Endpoints {
            endpoint: at(4566),
            orders: at(1),
            inventory: at(2),
            relay: at(3),
            payments: at(4),
            region: "eu-central-1".to_owned(),
            stack: "trackops".to_owned(),
            issuer: at(5),
            kafka: None,
        };
        let folder = std::env::temp_dir().join(format!("trackops-env-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let cli = folder.join("aws");
        std::fs::write(&cli, "#!/bin/sh\necho aws \"$@\" $AWS_PROFILE\n").unwrap();
        let mut executable = Command::new("chmod");
        assert!(executable.arg("+x").arg(&cli).status().unwrap().success());
        let script = format!(
            "{}\necho $STACK $ORDERS_URL $INVENTORY_URL $RELAY_URL $PAYMENTS_URL $TOKEN; aws sqs list-queues",
            commands(&endpoints, "a.b.c")
        );
        let said = Command::new("sh")
            .args(["-euc", &script])
            .env("PATH", format!("{}:{}", folder.display(), std::env::var("PATH").unwrap()))
            .env("AWS_PROFILE", "of-the-user")
            .output()
            .unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&said.stdout),
            "trackops http://127.0.0.1:1 http://127.0.0.1:2 http://127.0.0.1:3 http://127.0.0.1:4 a.b.c\n\
             aws --endpoint-url http://127.0.0.1:4566 sqs list-queues\n"
        );
    }
}
