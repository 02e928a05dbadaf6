//! Files of records, read by others: what they see must be what was written, field by field.
//!
//! Needs what `scripts/setup test` installs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod records;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use enid_flowlog::{
    Bucket, BucketAddress, Field, FileKind, FileSeries, FlowRecord, Format, Layout, Place, Query, Scan,
    encode_records, no_progress,
};
use records::{SLOT, records};

/// A record as all judges show it: names with underscores, values as text, nothing for what is absent.
type Shown = BTreeMap<String, String>;

fn ours(format: &Format, records: &[FlowRecord]) -> Vec<Shown> {
    let show = |record| {
        let mut line = String::new();
        format.render(record, &mut line);
        shown(format, &line)
    };
    sorted(records.iter().map(show).collect())
}

fn shown(format: &Format, line: &str) -> Shown {
    let names = format.fields().iter().map(|field| field.name().replace('-', "_"));
    names.zip(line.split(' ').map(str::to_owned)).filter(|(_, value)| value != "-").collect()
}

fn sorted(mut records: Vec<Shown>) -> Vec<Shown> {
    records.sort();
    records
}

/// Shows no more than the first difference.
fn assert_same(read: &[Shown], written: &[Shown]) {
    for (read, written) in read.iter().zip(written) {
        assert_eq!(read, written);
    }
    assert_eq!(read.len(), written.len());
}

fn python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/python/bin")
}

fn judge(arguments: &[&str]) -> Vec<Shown> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judges/read.py");
    let output = Command::new(python().join("python")).arg(script).args(arguments).output();
    let output = output.expect("scripts/setup test installs what reads here");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    sorted(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// All fields of these versions.
fn versions(versions: std::ops::RangeInclusive<u8>) -> Format {
    let is_wanted = |field: &Field| field.version().is_some_and(|version| versions.contains(&version));
    Format::new(Field::ALL.iter().copied().filter(is_wanted).collect()).unwrap()
}

fn series(kind: FileKind, hive_partitions: bool, writer: &str) -> FileSeries {
    FileSeries {
        account: "123456789012".parse().unwrap(),
        region: "us-east-1".parse().unwrap(),
        id: "fl-01234567890abcdef".parse().unwrap(),
        writer: writer.to_owned(),
        kind,
        layout: Layout { hive_partitions, hourly_partitions: hive_partitions },
    }
}

async fn put(place: &Place, series: &FileSeries, format: &Format, records: &[FlowRecord]) {
    for file in series.files(format, records, 1).unwrap() {
        place.put(&file.key, file.bytes.into()).await.unwrap();
    }
}

#[tokio::test]
async fn duckdb_reads_the_published_table_from_hive_partitions_of_many_hosts() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::Directory(directory.path().to_owned());
    let path = directory.path().to_str().unwrap();
    let (format, records) = (versions(2..=5), records());
    let (some, others) = records.split_at(records.len() / 2);
    for (writer, records) in [("host-1", some), ("host-2", others)] {
        put(&place, &series(FileKind::Parquet, true, writer), &format, records).await;
    }
    assert_same(&judge(&["duckdb", path, "published"]), &ours(&format, &records));
}

#[tokio::test]
async fn duckdb_reads_every_field() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::Directory(directory.path().to_owned());
    let format = Format::new(Field::ALL.to_vec()).unwrap();
    put(&place, &series(FileKind::Parquet, true, "host"), &format, &records()).await;
    let names: Vec<_> = Field::ALL.iter().map(|field| field.name().replace('-', "_")).collect();
    let mut arguments = vec!["duckdb", directory.path().to_str().unwrap()];
    arguments.extend(names.iter().map(String::as_str));
    assert_same(&judge(&arguments), &ours(&format, &records()));
}

#[test]
fn vrl_reads_every_published_field() {
    let judge = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/vrl-judge/debug/vrl-judge");
    let mut command = Command::new(judge);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut vrl = command.spawn().expect("scripts/setup test builds what reads here");
    let format = versions(2..=11);
    let text = encode_records(FileKind::Text, &format, &records()).unwrap();
    let mut input = vrl.stdin.take().unwrap();
    input.write_all(&text).unwrap();
    drop(input);
    let output = vrl.wait_with_output().unwrap();
    assert!(output.status.success());
    let output = String::from_utf8(output.stdout).unwrap();
    let read = output.lines().map(|line| {
        let record: BTreeMap<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        let present = record.into_iter().filter(|(_, value)| !value.is_null());
        let text = |value: serde_json::Value| value.as_str().map_or(value.to_string(), str::to_owned);
        present.map(|(name, value)| (name, text(value))).collect()
    });
    assert_same(&sorted(read.collect()), &ours(&format, &records()));
}

/// An object store on a port of its own; it ends with the test.
struct Store {
    server: Child,
    endpoint: String,
}

impl Store {
    fn start() -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Command::new(python().join("moto_server"))
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stderr(Stdio::null())
            .spawn()
            .expect("scripts/setup test installs moto");
        let store = Self { server, endpoint: format!("http://127.0.0.1:{port}") };
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begin.elapsed() < Duration::from_mins(1), "moto does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        store
    }

    fn address(&self, bucket: &str, prefix: &str) -> BucketAddress {
        BucketAddress {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            endpoint: Some(self.endpoint.clone()),
            region: Some("us-east-1".to_owned()),
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Runs this test again in a process whose environment has credentials: those of a bucket are taken from there.
fn with_credentials(test: &str) -> bool {
    if std::env::var_os("AWS_ACCESS_KEY_ID").is_some() {
        return true;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", test, "--nocapture"]);
    again.env("AWS_ACCESS_KEY_ID", "x").env("AWS_SECRET_ACCESS_KEY", "x");
    assert!(again.status().unwrap().success());
    false
}

#[test]
fn a_bucket_holds_what_is_put_and_flowlogs_reader_reads_it() {
    if !with_credentials("a_bucket_holds_what_is_put_and_flowlogs_reader_reads_it") {
        return;
    }
    let store = Store::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (format, records) = (versions(2..=5), records());
    for (bucket, kind, prefix) in
        [("text", FileKind::Gzip, "some/prefix"), ("parquet", FileKind::Parquet, "")]
    {
        let address = store.address(bucket, prefix);
        let place = Place::Bucket(Bucket::new(&address).unwrap());
        let missing = runtime.block_on(place.probe()).unwrap_err().to_string();
        assert!(
            missing.starts_with(&format!("can't write s3://{bucket}")) && missing.contains("NoSuchBucket"),
            "{missing}"
        );
        judge(&["bucket", &store.endpoint, bucket]);
        runtime.block_on(place.probe()).unwrap();
        runtime.block_on(put(&place, &series(kind, false, "host"), &format, &records));
        let location = [bucket, prefix].join("/");
        let read = judge(&["flowlogs", &store.endpoint, location.trim_end_matches('/'), &SLOT.to_string()]);
        assert_same(&read, &ours(&format, &records));

        let mut query = Query::default();
        query.filter.since = Some(SLOT);
        let mut scan = Scan::new(&place, query).unwrap();
        assert_eq!(scan.files(), 2);
        let mut lines = Vec::new();
        scan.for_each(&no_progress, |record| {
            let mut line = String::new();
            format.render(&record.unwrap(), &mut line);
            lines.push(shown(&format, &line));
            ControlFlow::Continue(())
        });
        assert_same(&sorted(lines), &ours(&format, &records));
        let mut query = Query::default();
        query.filter.since = Some(SLOT + 86_400);
        assert_eq!(Scan::new(&place, query).unwrap().files(), 0);
    }
    let gone = store.address("text", "");
    drop(store);
    let place = Place::Bucket(Bucket::new(&gone).unwrap());
    let error = runtime.block_on(place.probe()).unwrap_err().to_string();
    assert!(error.starts_with("can't write s3://text/.probe-") && error.contains("refused"), "{error}");
    assert!(
        Scan::new(&place, Query::default()).unwrap_err().to_string().starts_with("can't list s3://text: ")
    );
}
