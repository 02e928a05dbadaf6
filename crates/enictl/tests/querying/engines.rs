//! What engines find, beside what `enictl flows` finds.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use enid_flowlog::{Field, FieldKind, Format};
use serde::Serialize;
use serde_json::Value;

use crate::hosts;
use crate::page::{definitions, questions};

/// Rows, in the order of their values.
type Rows = Vec<Vec<String>>;

/// A folder that is removed with the value.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("enictl-querying-{}-{count}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Many hosts' files in each layout. The last hour has a file that can't be read: what reads it fails.
struct Places {
    hive: Folder,
    plain: Folder,
}

impl Places {
    fn new() -> Self {
        let places = Self { hive: Folder::new(), plain: Folder::new() };
        hosts::write(0..hosts::HOSTS, &places.hive.0, &places.plain.0);
        for (folder, hour) in [
            (
                &places.hive,
                "aws-account-id=111122223333/aws-service=vpcflowlogs/aws-region=us-east-1/year=2026/month=01/day=31/hour=15",
            ),
            (&places.plain, "111122223333/vpcflowlogs/us-east-1/2026/01/31/15"),
        ] {
            let folder = folder.0.join("AWSLogs").join(hour);
            std::fs::create_dir_all(&folder).unwrap();
            let name =
                "111122223333_vpcflowlogs_us-east-1_fl-0d1f7a93c5b2e8460_20260131T1500Z_fe123456.log.parquet";
            std::fs::write(folder.join(name), "no Parquet").unwrap();
        }
        places
    }

    /// The folders, and what the names of their definitions end in.
    fn layouts(&self) -> [(&Path, &'static str); 2] {
        [(&self.hive.0, "-hive.sql"), (&self.plain.0, ".sql")]
    }
}

/// The text with a folder in place of where the page says that the files are.
fn located(text: &str, folder: &Path) -> String {
    let folder = folder.to_str().unwrap();
    text.replace("s3a://flows/prod", folder).replace("s3://flows/prod", folder)
}

/// The places as a bucket of an object store, which speaks HTTP. It ends with the value.
struct Store {
    server: Child,
    endpoint: String,
}

impl Store {
    fn of(places: &Places) -> Self {
        let mut command = Command::new(python("python"));
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/querying/store.py"));
        command.args([&places.hive.0, &places.plain.0]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let server = command.spawn().expect("scripts/judge-scale installs moto");
        let mut store = Self { server, endpoint: String::new() };
        let lines = BufReader::new(store.server.stdout.take().unwrap()).lines();
        // What the server says of itself comes first.
        let port = lines.map(Result::unwrap).find(|line| line.parse::<u16>().is_ok()).unwrap();
        store.endpoint = format!("http://127.0.0.1:{port}/flows");
        store
    }

    /// The text with the store in place of the one that the page has.
    fn located(&self, text: &str, folder: &Path) -> String {
        let prefix = folder.file_name().unwrap().to_str().unwrap();
        let place = "https://flows.s3.eu-central-1.amazonaws.com/prod";
        assert!(text.contains(place));
        text.replace(place, &format!("{}/{prefix}", self.endpoint))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// What a command of the page prints.
fn shell(command: &str, folder: &Path) -> String {
    let enictl = Path::new(env!("CARGO_BIN_EXE_enictl")).parent().unwrap().display();
    let path = format!("{enictl}:{}", std::env::var("PATH").unwrap());
    let output =
        Command::new("sh").args(["-c", &located(command, folder)]).env("PATH", path).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The rows of comma-separated values below a header.
fn rows(csv: &str) -> Rows {
    assert!(!csv.contains('"'), "a value is quoted");
    let lines = csv.lines().skip(1);
    sorted(lines.map(|line| line.split(',').map(str::to_owned).collect()).collect())
}

fn sorted(mut rows: Rows) -> Rows {
    rows.sort();
    rows
}

/// The rows of an engine's answer: what is null is empty.
fn rows_of(answer: &Value) -> Rows {
    let rows: Vec<Vec<Option<String>>> =
        serde_json::from_value(answer.clone()).unwrap_or_else(|_| panic!("{answer}"));
    sorted(rows.into_iter().map(|row| row.into_iter().map(Option::unwrap_or_default).collect()).collect())
}

fn assert_same(found: &Rows, expected: &Rows, what: &str) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected, "{what}");
    }
    assert_eq!(found.len(), expected.len(), "{what}");
}

fn python(environment: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache").join(environment).join("bin/python")
}

/// Runs `judge.py` in the environment that has what it takes.
pub(crate) fn judge(kind: &str, given: &impl Serialize) -> Value {
    let environment = if ["clickhouse", "spark"].contains(&kind) { "engines" } else { "python" };
    let mut command = Command::new(python(environment));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/querying/judge.py")).arg(kind);
    // Those of a bucket that asks for none.
    command.env("AWS_ACCESS_KEY_ID", "id").env("AWS_SECRET_ACCESS_KEY", "secret");
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("scripts/setup test, or scripts/judge-scale, installs what answers here");
    child.stdin.take().unwrap().write_all(&serde_json::to_vec(given).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

/// Every record and every question, in both layouts; and only the folders that are asked for are read.
fn agrees(engine: &str, places: &Places, located: &dyn Fn(&str, &Path) -> String) {
    let (definitions, questions) = (definitions(), questions());
    let columns: Vec<_> = Format::complete().fields().iter().map(|field| column(*field)).collect();
    let of_the_day = "FROM flow_logs WHERE year = 2026 AND month = 1 AND day = 31";
    let every_record = format!("SELECT {} {of_the_day} AND hour < 14", columns.join(", "));
    let the_last_hour = format!("SELECT sum(bytes) {of_the_day} AND hour = 15");
    let mut queries: Vec<_> = questions.iter().map(|question| &*question.sql).collect();
    queries.extend([&*every_record, &*the_last_hour]);
    let queries: Vec<_> = queries.into_iter().map(|query| query.trim_end().trim_end_matches(';')).collect();
    let given = places
        .layouts()
        .map(|(folder, end)| (located(&definitions[&format!("{engine}{end}")], folder), &queries));
    let answers = judge(engine, &given);
    for ((folder, end), answers) in places.layouts().into_iter().zip(answers.as_array().unwrap()) {
        let [of_questions @ .., every_record, the_last_hour] = &**answers.as_array().unwrap() else {
            panic!("{answers}");
        };
        for (question, answer) in questions.iter().zip(of_questions) {
            let expected = rows(&shell(&question.command, folder));
            assert!(!expected.is_empty(), "{}", question.heading);
            assert_same(&rows_of(answer), &expected, &format!("{engine}{end}: {}", question.heading));
        }
        let command = "enictl flows --from s3://flows/prod --until 2026-01-31T14:00:00Z -o csv";
        let expected = rows(&shell(command, folder));
        assert!(expected.len() > 5_000);
        assert_same(&rows_of(every_record), &expected, &format!("{engine}{end}: every record"));
        assert!(the_last_hour.is_string(), "{engine}{end}: a file that is none was read: {the_last_hour}");
    }
}

fn column(field: Field) -> String {
    format!("\"{}\"", field.name().replace('-', "_"))
}

#[test]
fn duckdb_finds_what_enictl_finds() {
    agrees("duckdb", &Places::new(), &located);
}

#[test]
#[ignore = "scripts/judge-scale runs it: ClickHouse is large"]
fn clickhouse_finds_what_enictl_finds() {
    let places = Places::new();
    let store = Store::of(&places);
    agrees("clickhouse", &places, &|text, folder| store.located(text, folder));
}

#[test]
#[ignore = "scripts/judge-scale runs it: Spark is large"]
fn spark_finds_what_enictl_finds() {
    agrees("spark", &Places::new(), &located);
}

/// The types of DuckDB's columns are the files' own.
#[test]
fn columns_of_files_have_their_types() {
    let (places, definitions) = (Places::new(), definitions());
    let query = "SELECT column_name, column_type FROM (DESCRIBE flow_logs)";
    let given = places
        .layouts()
        .map(|(folder, end)| (located(&definitions[&format!("duckdb{end}")], folder), [query]));
    let format = Format::complete();
    let expected = format.fields().iter().map(|field| {
        let kind = match field.kind() {
            FieldKind::Small => "INTEGER",
            FieldKind::Count => "BIGINT",
            FieldKind::Address | FieldKind::Text => "VARCHAR",
        };
        vec![field.name().replace('-', "_"), kind.to_owned()]
    });
    let expected: Rows = expected.collect();
    for answers in judge("duckdb", &given).as_array().unwrap() {
        let found = rows_of(&answers[0]);
        assert!(expected.iter().all(|column| found.contains(column)), "{found:?}");
        for column in ["year", "month", "day", "hour"] {
            assert!(found.contains(&vec![column.to_owned(), "INTEGER".to_owned()]), "{found:?}");
        }
    }
}

/// Files that are put together as the page has it are read as those that they are made of.
#[test]
fn what_is_put_together_is_read_as_before() {
    let (places, compact) = (Places::new(), Folder::new());
    let statement = definitions()["compact.sql"].replace("s3://flows/compact", compact.0.to_str().unwrap());
    let (_, target) = statement.rsplit_once(") TO").unwrap();
    let target = Path::new(target.split('\'').nth(1).unwrap());
    std::fs::create_dir_all(target.parent().unwrap()).unwrap();
    let no_queries: [&str; 0] = [];
    judge("duckdb", &[(located(&statement, &places.hive.0), no_queries)]);
    let slot = "--since 2026-01-31T10:00:00Z --until 2026-01-31T10:05:00Z -o csv";
    let folder = "AWSLogs/aws-account-id=111122223333/aws-service=vpcflowlogs/aws-region=eu-central-1";
    let expected =
        rows(&shell(&format!("enictl flows --from s3://flows/prod/{folder} {slot}"), &places.hive.0));
    let found = rows(&shell(&format!("enictl flows --from s3://flows/prod {slot}"), &compact.0));
    assert!(expected.len() > 100);
    assert_same(&found, &expected, "compact.sql");
}

#[test]
fn enictl_prints_what_the_page_shows() {
    let places = Places::new();
    for question in questions() {
        for (folder, end) in places.layouts() {
            let (printed, shown) = (shell(&question.command, folder), &question.output);
            let is_same = match shown.strip_suffix("…\n") {
                Some(begin) => printed.starts_with(begin) && printed.len() > begin.len(),
                None => printed == *shown,
            };
            assert!(
                is_same,
                "{}{end}: the page shows\n{shown}and this is printed:\n{printed}",
                question.heading
            );
        }
    }
}
