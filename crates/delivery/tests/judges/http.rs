//! An OTLP collector over HTTP that keeps what it is sent, and answers as it is told.

use std::collections::VecDeque;
use std::io::Read;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// An answer: its status line's end, further headers, each with its line's end, and its body.
pub(crate) type Answer = (&'static str, &'static str, Vec<u8>);

/// The collector.
#[derive(Debug)]
pub(crate) struct Collector {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    answers: VecDeque<Answer>,
    taken: Vec<ExportLogsServiceRequest>,
    /// Octets of the bodies of all requests.
    sizes: Vec<usize>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { port, state, task }
    }

    /// Answers the next requests so, one after the other, instead of with yes.
    pub(crate) fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        self.state.lock().unwrap().answers.extend(answers);
    }

    /// The log records of the requests that were answered with yes, each with its resource.
    pub(crate) fn logs(&self) -> Vec<(Resource, LogRecord)> {
        let state = self.state.lock().unwrap();
        let mut logs = Vec::new();
        for resource_logs in state.taken.iter().flat_map(|request| &request.resource_logs) {
            for log in resource_logs.scope_logs.iter().flat_map(|scope| &scope.log_records) {
                logs.push((resource_logs.resource.clone().unwrap(), log.clone()));
            }
        }
        logs
    }

    /// The sizes of all requests' bodies.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        self.state.lock().unwrap().sizes.clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let head = head.to_ascii_lowercase();
        assert!(head.starts_with("post /v1/logs http/1.1\r\n"), "{head}");
        assert!(head.contains("content-type: application/x-protobuf\r\n"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut body).await.unwrap();
        if head.contains("content-encoding: gzip\r\n") {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(body.as_slice()).read_to_end(&mut plain).unwrap();
            body = plain;
        }
        let answer = {
            let mut state = state.lock().unwrap();
            state.sizes.push(body.len());
            let answer = state.answers.pop_front().unwrap_or(("200 OK", "", Vec::new()));
            if answer.0.starts_with("200") {
                state.taken.push(ExportLogsServiceRequest::decode(body.as_slice()).unwrap());
            }
            answer
        };
        let (status, headers, body) = answer;
        let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
    }
}
