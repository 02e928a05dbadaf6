#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with a location")]

mod errors;
mod properties;
mod reading;

use super::NetworkSpec;

fn parse(text: &str) -> NetworkSpec {
    NetworkSpec::parse(text, "network.toml").unwrap()
}
