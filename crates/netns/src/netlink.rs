//! A blocking netlink socket that sends many requests in one system call.
//!
//! The kernel works through a datagram of requests in order and within the call, so a batch costs one crossing
//! instead of one a request. It goes on past a request that fails; the first failure is what the caller learns.

use std::io;
use std::os::fd::AsRawFd as _;

use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::{NetnsError, Request};

const HEADER_LENGTH: usize = 16;
/// Type of the kernel's answer to a request (linux/netlink.h `NLMSG_ERROR`); error code 0 acknowledges.
const NLMSG_ERROR: u16 = 2;
/// The answer carries attributes after the request's header (`NLM_F_ACK_TLVS`)…
const NLM_F_ACK_TLVS: u16 = 0x200;
/// …of which this one is a message in words (`NLMSGERR_ATTR_MSG`).
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;

/// The kernel refused a request.
#[derive(Debug, thiserror::Error)]
#[error("the kernel refused to {request}: {source}{}", explained(.explanation.as_deref()))]
pub struct NetlinkError {
    /// What was asked for, in words.
    pub request: String,
    /// The error code.
    pub source: io::Error,
    /// The kernel's own explanation (extended acknowledgement), if it gave one.
    pub explanation: Option<String>,
}

fn explained(explanation: Option<&str>) -> String {
    explanation.map(|text| format!(" ({text})")).unwrap_or_default()
}

impl NetlinkError {
    fn is(&self, errors: &[rustix::io::Errno]) -> bool {
        self.source.raw_os_error().is_some_and(|code| errors.iter().any(|error| error.raw_os_error() == code))
    }

    /// Whether it says that the object is not there, or not any more.
    pub fn is_gone(&self) -> bool {
        use rustix::io::Errno;
        self.is(&[Errno::NODEV, Errno::NOENT, Errno::SRCH, Errno::ADDRNOTAVAIL])
    }
}

/// A netlink route socket. It acts in the namespace of the thread that opened it, whichever thread uses it later.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    /// Opens a socket in the calling thread's namespace.
    ///
    /// # Errors
    /// The kernel gives no socket.
    pub fn open() -> Result<Self, NetnsError> {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            socket.set_ext_ack(true)?;
            // Without it every refusal would carry the whole request back.
            socket.set_cap_ack(true)?;
            Ok::<_, io::Error>(socket)
        };
        let socket = open().map_err(NetnsError::system("open a netlink socket"))?;
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(2048) })
    }

    /// Sends the requests in one system call, and waits until the kernel has done the last.
    ///
    /// The kernel goes on past a failure, so what comes after one may have been done.
    ///
    /// # Errors
    /// The first request that failed.
    pub fn send(&mut self, requests: &[Request]) -> Result<(), NetnsError> {
        self.send_each(requests).map_or(Ok(()), |error| Err(error.into()))
    }

    /// As [`send`](Self::send), but what is gone already is no error: for removing things.
    ///
    /// # Errors
    /// The first request that failed otherwise.
    pub fn send_removals(&mut self, requests: &[Request]) -> Result<(), NetnsError> {
        for request in requests {
            match self.send(std::slice::from_ref(request)) {
                Err(NetnsError::Netlink(error)) if error.is_gone() => {}
                result => result?,
            }
        }
        Ok(())
    }

    /// Has the kernel take notice at once of a link's carrier, which a veth gets when both of its ends are up. Left to
    /// itself it does so later, in a queue of its own (linkwatch), and until then drops what the link is to send.
    ///
    /// Asking for the carrier has this effect since kernel 6.9, and none before.
    ///
    /// # Errors
    /// There is no such link.
    pub fn settle(&self, link: &str) -> Result<(), NetnsError> {
        /// linux/sockios.h.
        const SIOCETHTOOL: u32 = 0x8946;
        /// linux/ethtool.h.
        const ETHTOOL_GLINK: u32 = 0x0a;
        /// `struct ethtool_value` of linux/ethtool.h.
        #[repr(C)]
        struct Value {
            command: u32,
            data: u32,
        }
        let mut value = Value { command: ETHTOOL_GLINK, data: 0 };
        let mut request = libc::ifreq {
            ifr_name: [0; libc::IFNAMSIZ],
            ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: (&raw mut value).cast() },
        };
        // The last byte stays zero, and ends the name.
        for (to, from) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(link.bytes()) {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        // SAFETY: the request and the value that it points to are of the types that this call reads and writes, and
        // live until it returns.
        let done = unsafe { libc::ioctl(self.socket.as_raw_fd(), SIOCETHTOOL.into(), &raw mut request) };
        if done == 0 {
            return Ok(());
        }
        Err(NetnsError::system("ask for the carrier of a link")(io::Error::last_os_error()))
    }

    fn send_each(&mut self, requests: &[Request]) -> Option<NetlinkError> {
        let first = self.sequence.wrapping_add(1);
        let last = self.sequence.wrapping_add(u32::try_from(requests.len()).unwrap_or(u32::MAX));
        if requests.is_empty() {
            return None;
        }
        self.buffer.clear();
        for (sequence, request) in (first..).zip(requests) {
            let mut header = NetlinkHeader::default();
            header.sequence_number = sequence;
            header.flags = NLM_F_REQUEST | request.flags();
            // A failure is always answered; success is asked for once, with the last.
            if sequence == last {
                header.flags |= NLM_F_ACK;
            }
            let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request.message()));
            message.finalize();
            let start = self.buffer.len();
            // Requests in a datagram begin at multiples of four bytes.
            self.buffer.resize(start + message.buffer_len().next_multiple_of(4), 0);
            message.serialize(&mut self.buffer[start..]);
        }
        self.sequence = last;
        let transport = |source| NetlinkError {
            request: "exchange netlink messages".to_owned(),
            source,
            explanation: None,
        };
        if let Err(error) = self.socket.send(&self.buffer, 0) {
            return Some(transport(error));
        }
        let mut failure = None;
        loop {
            let datagram = match self.socket.recv_from_full() {
                Ok((datagram, _)) => datagram,
                Err(error) => return failure.or(Some(transport(error))),
            };
            for answer in Answers(&datagram) {
                // Answers to an earlier batch that was given up are not ours.
                let index = answer.sequence.wrapping_sub(first);
                let Some(request) = requests.get(index as usize) else {
                    continue;
                };
                if answer.code != 0 && failure.is_none() {
                    failure = Some(NetlinkError {
                        request: request.to_string(),
                        source: io::Error::from_raw_os_error(-answer.code),
                        explanation: answer.explanation.map(str::to_owned),
                    });
                }
                if answer.sequence == last {
                    return failure;
                }
            }
        }
    }
}

/// The kernel's answer to one request.
#[derive(Debug, PartialEq, Eq)]
struct Answer<'a> {
    sequence: u32,
    /// 0, or a negative error number.
    code: i32,
    explanation: Option<&'a str>,
}

/// The answers in a datagram. What is not an answer, or does not fit, is passed over.
struct Answers<'a>(&'a [u8]);

impl<'a> Iterator for Answers<'a> {
    type Item = Answer<'a>;

    fn next(&mut self) -> Option<Answer<'a>> {
        loop {
            let length = read_u32(self.0, 0)? as usize;
            let kind = read_u16(self.0, 4)?;
            let flags = read_u16(self.0, 6)?;
            let sequence = read_u32(self.0, 8)?;
            if length < HEADER_LENGTH || length > self.0.len() {
                return None;
            }
            let (message, rest) = self.0.split_at(length);
            self.0 = rest.get(length.next_multiple_of(4) - length..).unwrap_or_default();
            if kind != NLMSG_ERROR {
                continue;
            }
            let code = read_u32(message, HEADER_LENGTH)?.cast_signed();
            // The error code, then the refused request's header, then the attributes.
            let attributes =
                message.get(HEADER_LENGTH + 4 + HEADER_LENGTH..).filter(|_| flags & NLM_F_ACK_TLVS != 0);
            return Some(Answer { sequence, code, explanation: attributes.and_then(explanation) });
        }
    }
}

fn explanation(mut attributes: &[u8]) -> Option<&str> {
    loop {
        let length = usize::from(read_u16(attributes, 0)?);
        let kind = read_u16(attributes, 2)?;
        let value = attributes.get(4..length)?;
        if kind == NLMSGERR_ATTR_MSG {
            return std::str::from_utf8(value).ok().map(|text| text.trim_end_matches('\0'));
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(sequence: u32, code: i32, text: Option<&str>) -> Vec<u8> {
        let mut payload = code.to_ne_bytes().to_vec();
        payload.extend([0; HEADER_LENGTH]);
        if let Some(text) = text {
            payload.extend(u16::try_from(4 + text.len() + 1).unwrap().to_ne_bytes());
            payload.extend(NLMSGERR_ATTR_MSG.to_ne_bytes());
            payload.extend(text.as_bytes());
            payload.push(0);
        }
        let mut message = u32::try_from(HEADER_LENGTH + payload.len()).unwrap().to_ne_bytes().to_vec();
        message.extend(NLMSG_ERROR.to_ne_bytes());
        message.extend(if text.is_some() { NLM_F_ACK_TLVS } else { 0 }.to_ne_bytes());
        message.extend(sequence.to_ne_bytes());
        message.extend([0; 4]);
        message.extend(payload);
        message.resize(message.len().next_multiple_of(4), 0);
        message
    }

    #[test]
    fn reads_answers_and_explanations() {
        let mut datagram = answer(7, -17, Some("Device exists."));
        datagram.extend(answer(8, 0, None));
        let answers: Vec<_> = Answers(&datagram).collect();
        assert_eq!(answers[0], Answer { sequence: 7, code: -17, explanation: Some("Device exists.") });
        assert_eq!(answers[1], Answer { sequence: 8, code: 0, explanation: None });
        assert_eq!(answers.len(), 2);
    }

    #[test]
    fn passes_over_what_is_cut_short() {
        let whole = answer(7, -17, Some("Device exists."));
        for length in 0..whole.len() - 4 {
            assert!(Answers(&whole[..length]).next().is_none(), "{length}");
        }
    }
}
