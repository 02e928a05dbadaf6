//! A bucket on loopback: as much of S3 as reading takes.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

const NAME: &str = "flows";

/// Serves a folder as the bucket `flows`, until dropped.
pub(crate) struct Bucket {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    folder: PathBuf,
    stopped: AtomicBool,
    /// The keys of objects that were read.
    read: Mutex<Vec<String>>,
}

impl Bucket {
    pub(crate) fn serve(folder: &Path) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            stopped: AtomicBool::new(false),
            read: Mutex::default(),
        });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if of_thread.stopped.load(Ordering::Relaxed) {
                    return;
                }
                // A client that leaves in the middle has read enough.
                let _ = of_thread.answer(&stream.unwrap());
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// What `--from` takes.
    pub(crate) fn url(&self, prefix: &str) -> String {
        format!("s3://{NAME}/{prefix}?endpoint=http://{}", self.address)
    }

    /// The keys that were read since the last time, each once.
    pub(crate) fn take_read(&self) -> Vec<String> {
        let mut keys = std::mem::take(&mut *self.shared.read.lock().unwrap());
        keys.sort();
        keys.dedup();
        keys
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Answers one request.
    fn answer(&self, stream: &TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream).lines();
        let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
        let mut range = None;
        for line in lines {
            let line = line?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(bytes) = line.strip_prefix("range: bytes=") {
                let (first, last) = bytes.split_once('-').unwrap();
                range = Some((first.parse::<usize>().unwrap(), last.parse::<usize>().unwrap()));
            }
        }
        let target = decoded(request.split(' ').nth(1).unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let key = path.trim_start_matches('/').strip_prefix(NAME).unwrap_or_default().trim_matches('/');
        let (status, body) = if key.is_empty() {
            let prefix = query.split('&').find_map(|option| option.strip_prefix("prefix="));
            ("200 OK", self.list(prefix.unwrap_or_default()).into_bytes())
        } else if let Ok(object) = std::fs::read(self.folder.join(key)) {
            self.read.lock().unwrap().push(key.to_owned());
            match range {
                Some((first, last)) => {
                    ("206 Partial Content", object[first..=last.min(object.len() - 1)].to_vec())
                }
                None => ("200 OK", object),
            }
        } else {
            ("404 Not Found", b"<Error><Code>NoSuchKey</Code></Error>".to_vec())
        };
        let mut head =
            format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
        if let Some((first, _)) = range {
            let last = (first + body.len()).saturating_sub(1);
            let _ = write!(head, "Content-Range: bytes {first}-{last}/{}\r\n", self.size(key));
        }
        head += "ETag: \"1\"\r\nLast-Modified: Tue, 14 Nov 2023 22:13:20 GMT\r\n\r\n";
        let mut stream = stream;
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body)
    }

    fn size(&self, key: &str) -> u64 {
        self.folder.join(key).metadata().map_or(0, |metadata| metadata.len())
    }

    /// What is in a folder, as ListObjectsV2 with the delimiter `/` says it.
    fn list(&self, prefix: &str) -> String {
        let mut xml = format!("<ListBucketResult><Name>{NAME}</Name><IsTruncated>false</IsTruncated>");
        let entries = self.folder.join(prefix).read_dir().into_iter().flatten();
        for entry in entries.map(Result::unwrap) {
            let key = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            let _ = if entry.path().is_dir() {
                write!(xml, "<CommonPrefixes><Prefix>{key}/</Prefix></CommonPrefixes>")
            } else {
                let time = "2023-11-14T22:13:20.000Z";
                let size = self.size(&key);
                write!(
                    xml,
                    "<Contents><Key>{key}</Key><LastModified>{time}</LastModified><ETag>1</ETag><Size>{size}</Size></Contents>"
                )
            };
        }
        xml + "</ListBucketResult>"
    }
}

/// The text without its percent-encoding.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_at(2);
        decoded.push(char::from(u8::from_str_radix(code, 16).unwrap()));
        decoded.push_str(rest);
    }
    decoded
}
