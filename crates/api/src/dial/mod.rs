//! Connections through a task's ENI: the client of the daemon's dial socket.
//!
//! A [`Dialer`] asks the daemon for a connection on behalf of a task and gets a socket that is connected already. The
//! socket was made in the task's network namespace, so what it sends goes through the task's ENI, under its security
//! groups, and its flow records have the traffic class asked for, from the first packet on. Once it is handed over the
//! daemon has no part in it: it outlives the daemon.
//!
//! ```no_run
//! use enid_api::dial::Dialer;
//! use enid_model::TrafficClass;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let dialer = Dialer::new("/run/enid/dial.sock", "web").class(TrafficClass::Logs);
//! let stream = dialer.connect("logs.eu-west-1.amazonaws.com", 443).await?;
//! println!("{} to {}", stream.local_addr()?, stream.peer_addr()?);
//! # Ok(())
//! # }
//! ```
//!
//! [`Connector`] makes HTTP clients that are built on hyper dial so. `docs/dialing.md` describes the socket itself, for other languages.

mod channel;
mod connector;
mod dialer;
mod error;
mod stock;
pub mod wire;

pub use channel::{Channel, MAX_DESCRIPTORS, Message};
pub use connector::{Connection, Connector};
pub use dialer::{Dialed, Dialer};
pub use error::DialError;
