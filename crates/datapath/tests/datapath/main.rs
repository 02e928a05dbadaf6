//! The data path on crafted frames. Needs root: the programs are loaded into the kernel, in namespaces of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't be set up fails")]
#![allow(clippy::panic, reason = "helpers of tests fail as tests do")]

mod accounts;
mod case;
mod class;
mod concurrency;
mod delivery;
mod eni;
mod expected;
mod fragments;
mod frame;
mod generations;
mod host;
mod icmp;
mod interval;
mod ipv4;
mod ipv6;
mod lifecycle;
mod link;
mod neighbours;
mod other;
mod policy;
mod property;
mod records;
mod reference;
mod refusal;
mod routes;
mod rules;
mod run;
mod segments;
mod settled;
mod spoofing;
mod table;
mod tcp;
mod udp;
mod verifier;
mod vpc;
mod wire;
mod wire_class;
