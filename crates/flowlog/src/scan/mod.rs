//! Reading records from files of any kind, one after the other or on several cores.

mod column;
mod fold;
mod hybrid;
mod list;
mod object;
mod pages;
mod parquet;
mod totals;

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use tokio::runtime::Runtime;

use crate::error::FlowLogError;
use crate::field::Field;
use crate::file_name::{FileKind, FlowLogId};
use crate::filter::Filter;
use crate::format::Format;
use crate::parsed::ParsedRecord;
use crate::place::Place;
use crate::reader::RecordReader;
use crate::value::{Fields, Value, serialize_fields};

use list::{Listed, ScanFile};
use object::{At, Object};
use parquet::{ParquetFile, Row, Rows};

const BUFFER_BYTES: usize = 128 * 1024;

/// What is wanted of the records.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Which records.
    pub filter: Filter,
    /// Which of their fields; all without it. Others may be absent from what is read.
    pub fields: Option<Vec<Field>>,
    /// Fields that a file must hold, beside those of the filter, and the option that asks for each: `--by peer`.
    pub needs: Vec<(Field, &'static str)>,
    /// The flow log whose files are read; those of all without it.
    pub flow_log: Option<FlowLogId>,
}

/// How far reading is: the bytes that are done, and those of all files. It is called from any of the reading threads.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// Says nothing of how far reading is.
pub fn no_progress(_: u64, _: u64) {}

/// The files of a place that may hold what a query wants: text, gzip and Parquet, in any folders.
///
/// Files come in the order of their slots, records in the order of their file. Files whose slot, and folders whose date,
/// is outside the filter's time range are passed over, and so are row groups of Parquet files in which nothing can match.
///
/// What can't be read is an error that names the file, and reading goes on after it: the next line of a text, the next
/// row of a Parquet file where a value is bad, the next file where a file is no flow log's, is cut off or corrupt, or
/// lacks a field which the query needs.
///
/// Reading blocks: of async code, it takes a thread of its own (`spawn_blocking`).
#[derive(Debug)]
pub struct Scan {
    place: Place,
    listed: Listed,
    query: Query,
    wanted: u128,
    /// Of a bucket: what talks to the store.
    runtime: Option<Runtime>,
}

impl Drop for Scan {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Nothing is under way any more that has to be waited for.
            runtime.shutdown_background();
        }
    }
}

/// How far the reading of a scan is.
struct Meter<'a> {
    done: AtomicU64,
    total: u64,
    progress: Progress<'a>,
}

impl Meter<'_> {
    fn add(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        (self.progress)(done.min(self.total), self.total);
    }
}

/// A file whose records can be read.
enum Opened<'a> {
    Lines(Box<RecordReader<Box<dyn BufRead + Send + 'a>>>),
    /// And the row groups that may hold what is wanted.
    Parquet(Box<ParquetFile>, Vec<usize>),
}

impl Scan {
    /// Lists the files of a place.
    pub fn new(place: &Place, query: Query) -> Result<Self, FlowLogError> {
        match place {
            Place::Directory(path) => Self::of_path(path, query),
            Place::Bucket(bucket) => {
                let runtime =
                    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
                let runtime = runtime.map_err(FlowLogError::io("reach", Path::new(&bucket.to_string())))?;
                let mut listed = list::bucket(bucket, runtime.handle(), &query);
                if listed.files.is_empty() && !listed.errors.is_empty() {
                    return Err(listed.errors.remove(0));
                }
                let mut scan = Self::over(place.clone(), listed, query);
                scan.runtime = Some(runtime);
                Ok(scan)
            }
        }
    }

    /// Lists the files of a directory and the folders below it; or reads a single file, whatever its name.
    pub fn of_path(path: &Path, query: Query) -> Result<Self, FlowLogError> {
        let metadata = path.metadata().map_err(FlowLogError::io("read", path))?;
        if metadata.is_dir() {
            let listed = list::directory(path, &query);
            return Ok(Self::over(Place::Directory(path.to_owned()), listed, query));
        }
        let listed = list::file(path, String::new())?;
        Ok(Self::over(Place::Directory(path.to_owned()), listed, query))
    }

    fn over(place: Place, listed: Listed, query: Query) -> Self {
        let fields = query.fields.as_deref().unwrap_or(Field::ALL);
        let wanted = fields.iter().fold(0, |set, field| set | field.bit());
        Self { place, listed, query, wanted, runtime: None }
    }

    /// How many files are to be read.
    pub fn files(&self) -> usize {
        self.listed.files.len()
    }

    /// How many bytes they have.
    pub fn total_bytes(&self) -> u64 {
        self.listed.files.iter().map(|file| file.size).sum()
    }

    /// Reads all records in order. `use_record` gets each, and each error in its place; it may break off.
    pub fn for_each(
        &mut self,
        progress: Progress<'_>,
        mut use_record: impl FnMut(Result<ScannedRecord<'_>, FlowLogError>) -> ControlFlow<()>,
    ) {
        for error in std::mem::take(&mut self.listed.errors) {
            if use_record(Err(error)).is_break() {
                return;
            }
        }
        let meter = self.meter(progress);
        for file in &self.listed.files {
            if self.read_file(file, &meter, &mut use_record).is_break() {
                return;
            }
        }
    }

    fn meter<'a>(&self, progress: Progress<'a>) -> Meter<'a> {
        Meter { done: AtomicU64::new(0), total: self.total_bytes(), progress }
    }

    fn read_file(
        &self,
        file: &ScanFile,
        meter: &Meter<'_>,
        use_record: &mut dyn FnMut(Result<ScannedRecord<'_>, FlowLogError>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self.open(file, meter) {
            Err(error) => use_record(Err(error)),
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(Opened::Lines(reader))) => self.read_lines(*reader, use_record),
            Ok(Some(Opened::Parquet(file, groups))) => {
                groups.into_iter().try_for_each(|group| self.read_group(&file, group, meter, use_record))
            }
        }
    }

    fn read_lines(
        &self,
        reader: RecordReader<Box<dyn BufRead + Send + '_>>,
        use_record: &mut dyn FnMut(Result<ScannedRecord<'_>, FlowLogError>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for record in reader {
            match record {
                Ok(record) if !self.query.filter.matches(&record) => {}
                Ok(record) => use_record(Ok(ScannedRecord(Inner::Line(&record))))?,
                Err(error) => use_record(Err(error))?,
            }
        }
        ControlFlow::Continue(())
    }

    fn read_group(
        &self,
        file: &ParquetFile,
        group: usize,
        meter: &Meter<'_>,
        use_record: &mut dyn FnMut(Result<ScannedRecord<'_>, FlowLogError>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self.rows(file, group, meter) {
            Err(error) => use_record(Err(error)),
            Ok(rows) => {
                rows.iter().try_for_each(|row| use_record(row.map(|row| ScannedRecord(Inner::Row(row)))))
            }
        }
    }

    fn rows(&self, file: &ParquetFile, group: usize, meter: &Meter<'_>) -> Result<Rows, FlowLogError> {
        let rows = file.read_group(group, &self.query.filter, &|field| self.wanted & field.bit() != 0);
        meter.add(file.group_size(group));
        rows
    }

    /// Opens a file, and sees whether it holds what the query needs. None where it is gone, or has no header yet.
    fn open<'a>(&'a self, file: &ScanFile, meter: &'a Meter<'_>) -> Result<Option<Opened<'a>>, FlowLogError> {
        let Some(object) = self.object(file)? else { return Ok(None) };
        let name = object.name.clone();
        let input: Box<dyn BufRead + Send + 'a> = match file.kind {
            FileKind::Parquet => {
                let opened = ParquetFile::open(object)?;
                self.check(&opened.format()?, opened.name())?;
                let groups = opened.groups(&self.query.filter);
                // What is passed over is done.
                let to_read: u64 = groups.iter().map(|group| opened.group_size(*group)).sum();
                meter.add(opened.size().saturating_sub(to_read));
                return Ok(Some(Opened::Parquet(Box::new(opened), groups)));
            }
            FileKind::Text => Box::new(BufReader::with_capacity(
                BUFFER_BYTES,
                Metered { input: object.into_reader()?, meter },
            )),
            FileKind::Gzip => {
                let input = Metered { input: object.into_reader()?, meter };
                let input = MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, input));
                Box::new(BufReader::with_capacity(BUFFER_BYTES, input))
            }
        };
        let reader = RecordReader::new(input, &name)?;
        if let Some(format) = reader.format() {
            self.check(format, &name)?;
        }
        Ok(Some(Opened::Lines(Box::new(reader))))
    }

    fn object(&self, file: &ScanFile) -> Result<Option<Object>, FlowLogError> {
        let (name, size) = (self.name(file), file.size);
        match (&self.place, &self.runtime) {
            (Place::Bucket(bucket), Some(runtime)) => {
                let at = At::Bucket(bucket.clone(), file.key.clone(), runtime.handle().clone());
                Ok(Some(Object { name, size, at }))
            }
            _ => match File::open(&name) {
                Ok(file) => Ok(Some(Object { size, at: At::Disk(file), name })),
                // Removed for its age since the directory was listed.
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(FlowLogError::io("open", &name)(error)),
            },
        }
    }

    fn name(&self, file: &ScanFile) -> PathBuf {
        match &self.place {
            // A single file.
            Place::Directory(path) if file.key.is_empty() => path.clone(),
            place => place.name(&file.key),
        }
    }

    fn check(&self, format: &Format, file: &Path) -> Result<(), FlowLogError> {
        let missing = self.query.needs.iter().find(|(field, _)| !format.contains(*field));
        let needs = missing.map_or(Ok(()), |(field, needed_by)| {
            Err(FlowLogError::MissingField { field: *field, needed_by })
        });
        self.query.filter.check(format).and(needs).map_err(|error| error.in_file(file))
    }
}

/// Tells the meter what is read.
struct Metered<'a, R> {
    input: R,
    meter: &'a Meter<'a>,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.meter.add(read as u64);
        Ok(read)
    }
}

/// A record of a file: of the fields that it holds, those that the query wants.
#[derive(Debug, Clone, Copy)]
pub struct ScannedRecord<'a>(Inner<'a>);

#[derive(Debug, Clone, Copy)]
enum Inner<'a> {
    Line(&'a ParsedRecord),
    Row(Row<'a>),
}

impl Fields for ScannedRecord<'_> {
    fn value(&self, field: Field) -> Option<Value<'_>> {
        match &self.0 {
            Inner::Line(record) => record.value(field),
            Inner::Row(row) => row.get(field),
        }
    }
}

impl serde::Serialize for ScannedRecord<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_fields(self, serializer)
    }
}

#[cfg(test)]
mod tests;
