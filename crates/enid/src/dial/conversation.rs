//! A caller of the dial socket: requests as they come, answers as they are ready.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use enid_api::dial::wire::{
    Answer, DEFAULT_TIMEOUT_MS, ErrorCode, Family, MAX_MESSAGE, MAX_SOCKETS, MAX_TIMEOUT_MS, Refusal, Request,
};
use enid_api::dial::{Channel, Message};
use enid_model::{TaskName, TrafficClass};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::target::shortened;
use super::{Caller, Dialing, Target, refuse};
use crate::lives::Life;

/// The most requests of a caller that are under way.
const MOST_PIPELINED: usize = 128;
/// How long a caller may leave an answer unread, once there is no room for more.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long somebody who is turned away may take to go.
const FAREWELL: Duration = Duration::from_secs(1);

/// What an answer carries.
#[derive(Debug, Default)]
struct Reply {
    answer: Answer,
    sockets: Vec<OwnedFd>,
    /// Of sockets that were prepared: with the task's end the conversation ends, which tells whoever holds them.
    life: Option<Life>,
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Connection(Target, Duration),
    Sockets(Family, u8),
}

/// Speaks with a caller until it has gone. What it has asked for then ends.
pub(super) async fn hold(dialing: &Dialing, caller: &Channel) {
    let mut under_way = FuturesUnordered::new();
    let mut lives = FuturesUnordered::new();
    loop {
        tokio::select! {
            received = caller.receive() => match received {
                Ok(message) if !message.bytes.is_empty() => {
                    let is_full = under_way.len() >= MOST_PIPELINED;
                    under_way.push(reply(dialing, message, is_full));
                }
                _ => return,
            },
            Some(reply) = under_way.next() => {
                let Reply { answer, sockets, life } = reply;
                if send(caller, &answer, &sockets).await.is_err() {
                    return;
                }
                lives.extend(life.map(|mut life| async move { life.ended().await }));
            }
            Some(()) = lives.next() => return,
        }
    }
}

/// Tells a caller that it may not dial.
pub(super) async fn turn_away(caller: &Channel, refusal: Refusal) {
    // Whoever is turned away may have gone by itself.
    let _ = send(caller, &Answer { error: Some(refusal), ..Answer::default() }, &[]).await;
    // Closed with a request unread, the connection would be reset, and the answer lost.
    let read = async { while caller.receive().await.is_ok_and(|message| !message.bytes.is_empty()) {} };
    let _ = tokio::time::timeout(FAREWELL, read).await;
}

async fn send(caller: &Channel, answer: &Answer, sockets: &[OwnedFd]) -> io::Result<()> {
    let text = serde_json::to_vec(answer)?;
    let descriptors: Vec<_> = sockets.iter().map(|socket| socket.as_fd()).collect();
    let sent = tokio::time::timeout(PATIENCE, caller.send(&text, &descriptors)).await;
    sent.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn reply(dialing: &Dialing, message: Message, is_full: bool) -> Reply {
    let request = match read(&message) {
        Ok(request) => request,
        Err(refusal) => {
            return Reply {
                answer: Answer { error: Some(refusal), ..Answer::default() },
                ..Reply::default()
            };
        }
    };
    let refused = |refusal: Refusal| {
        let answer = Answer { id: request.id, error: Some(bounded(refusal)), ..Answer::default() };
        Reply { answer, ..Reply::default() }
    };
    if is_full {
        let message =
            format!("{MOST_PIPELINED} requests of this connection are under way, the most at a time");
        return refused(refuse(ErrorCode::TooMany, message));
    }
    match answer(dialing, &request).await {
        Ok(reply) => reply,
        Err(refusal) => refused(refusal),
    }
}

fn read(message: &Message) -> Result<Request, Refusal> {
    if message.is_cut {
        let message = format!("a request has at most {MAX_MESSAGE} bytes, and no descriptors");
        return Err(refuse(ErrorCode::BadRequest, message));
    }
    serde_json::from_slice(&message.bytes).map_err(|error| {
        let error = shortened(&error.to_string());
        refuse(ErrorCode::BadRequest, format!("the request can't be read: {error}"))
    })
}

async fn answer(dialing: &Dialing, request: &Request) -> Result<Reply, Refusal> {
    let (caller, wanted) = understand(request)?;
    let class = Some(caller.class.as_str().to_owned());
    match wanted {
        Wanted::Connection(target, timeout) => {
            let dialed = dialing.dial(&caller, &target, request.protocol, timeout).await?;
            // As socket(2) makes them: who wants another can change it.
            rustix::io::ioctl_fionbio(&dialed.socket, false).map_err(internal)?;
            let answer = Answer {
                id: request.id,
                local: Some(dialed.local),
                remote: Some(dialed.remote),
                class,
                eni: Some(dialed.eni),
                error: None,
            };
            Ok(Reply { answer, sockets: vec![dialed.socket], life: None })
        }
        Wanted::Sockets(family, count) => {
            let (sockets, eni, life) = dialing.prepare(&caller, family, request.protocol, count).await?;
            for socket in &sockets {
                rustix::io::ioctl_fionbio(socket, false).map_err(internal)?;
            }
            let answer = Answer { id: request.id, class, eni: Some(eni), ..Answer::default() };
            Ok(Reply { answer, sockets, life: Some(life) })
        }
    }
}

fn internal(error: rustix::io::Errno) -> Refusal {
    refuse(ErrorCode::Internal, format!("a socket could not be handed over: {error}"))
}

fn understand(request: &Request) -> Result<(Caller, Wanted), Refusal> {
    let wrong = |message: String| refuse(ErrorCode::BadRequest, message);
    let class = match &request.class {
        Some(text) => text.parse::<TrafficClass>().map_err(|error| {
            let known = TrafficClass::ALL.map(TrafficClass::as_str).join(", ");
            let _ = error;
            let text = shortened(text);
            refuse(ErrorCode::UnknownClass, format!("there is no traffic class {text:?}; there are {known}"))
        })?,
        None => TrafficClass::default(),
    };
    let task: TaskName = request
        .task
        .parse()
        .map_err(|_| wrong(format!("{:?} can't be a task's name", shortened(&request.task))))?;
    let caller = Caller { task, class };
    let wanted = match (&request.host, request.port, request.sockets, request.family) {
        (Some(host), Some(port), None, None) => {
            let timeout = request.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS);
            if !(1..=MAX_TIMEOUT_MS).contains(&timeout) {
                return Err(wrong(format!("timeoutMs is {timeout}; it can be 1 to {MAX_TIMEOUT_MS}")));
            }
            Wanted::Connection(Target::new(host, port)?, Duration::from_millis(timeout.into()))
        }
        (None, None, Some(count), Some(family)) => {
            if !(1..=MAX_SOCKETS).contains(&count) {
                return Err(wrong(format!("sockets is {count}; it can be 1 to {MAX_SOCKETS}")));
            }
            Wanted::Sockets(family, count)
        }
        _ => return Err(wrong("a request has a host and a port, or sockets and a family".to_owned())),
    };
    Ok((caller, wanted))
}

/// With a sentence that an answer has room for.
fn bounded(mut refusal: Refusal) -> Refusal {
    // Escaped, a character may take six bytes.
    const MOST: usize = (MAX_MESSAGE - 256) / 6;
    if let Some((end, _)) = refusal.message.char_indices().find(|(at, _)| *at >= MOST) {
        refusal.message.truncate(end);
        refusal.message.push('…');
    }
    refusal
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Result<(Caller, Wanted), ErrorCode> {
        let message = Message { bytes: text.as_bytes().to_vec(), descriptors: Vec::new(), is_cut: false };
        read(&message).and_then(|request| understand(&request)).map_err(|refusal| refusal.code)
    }

    #[test]
    fn requests_are_understood_or_refused_by_code() {
        let (caller, wanted) = parsed(r#"{"task":"web","host":"db","port":5432}"#).unwrap();
        assert_eq!((caller.task.as_str(), caller.class), ("web", TrafficClass::Application));
        assert_eq!(wanted, Wanted::Connection(Target::new("db", 5432).unwrap(), Duration::from_secs(10)));
        let (_, wanted) = parsed(r#"{"task":"web","class":"logs","sockets":16,"family":"ipv6"}"#).unwrap();
        assert_eq!(wanted, Wanted::Sockets(Family::Ipv6, 16));
        for (wrong, code) in [
            (r#"{"task":"web","class":"Logs","host":"db","port":1}"#, ErrorCode::UnknownClass),
            (r#"{"task":"../web","host":"db","port":1}"#, ErrorCode::BadRequest),
            (r#"{"task":"web","host":"db","port":0}"#, ErrorCode::BadRequest),
            (r#"{"task":"web","host":"","port":1}"#, ErrorCode::BadRequest),
            (r#"{"task":"web","host":"db"}"#, ErrorCode::BadRequest),
            (r#"{"task":"web","host":"db","port":1,"timeoutMs":0}"#, ErrorCode::BadRequest),
            (r#"{"task":"web","host":"db","port":1,"timeoutMs":120001}"#, ErrorCode::BadRequest),
            (r#"{"task":"web","host":"db","port":1,"sockets":1,"family":"ipv4"}"#, ErrorCode::BadRequest),
            (r#"{"task":"web","sockets":17,"family":"ipv4"}"#, ErrorCode::BadRequest),
            (r#"{"task":"web","sockets":1}"#, ErrorCode::BadRequest),
            ("", ErrorCode::BadRequest),
            ("[]", ErrorCode::BadRequest),
        ] {
            assert_eq!(parsed(wrong).unwrap_err(), code, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused_in_a_message_of_its_size(bytes: Vec<u8>, is_cut: bool) {
            let message = Message { bytes, descriptors: Vec::new(), is_cut };
            if let Err(refusal) = read(&message).and_then(|request| understand(&request)) {
                let answer = Answer { error: Some(bounded(refusal)), ..Answer::default() };
                prop_assert!(serde_json::to_vec(&answer).unwrap().len() <= MAX_MESSAGE);
            }
        }

        #[test]
        fn requests_of_any_values_are_understood_or_refused(
            task: String, class: Option<String>, host: Option<String>, port: Option<u16>,
            timeout_ms: Option<u32>, sockets: Option<u8>,
        ) {
            let family = sockets.map(|_| Family::Ipv4);
            let request = Request { task, class, host, port, timeout_ms, sockets, family, ..Request::default() };
            if let Err(refusal) = understand(&request) {
                let answer = Answer { error: Some(bounded(refusal)), ..Answer::default() };
                prop_assert!(serde_json::to_vec(&answer).unwrap().len() <= MAX_MESSAGE);
            }
        }
    }
}
