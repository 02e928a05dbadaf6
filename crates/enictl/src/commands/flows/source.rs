//! Where records are read from.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use enid_delivery::Destination;
use enid_flowlog::{Bucket, BucketAddress, FlowLogError, Place};

/// Files that were delivered, as the user names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::commands) enum Source {
    /// A folder, or one file.
    Path(PathBuf),
    /// What is below a prefix of a bucket.
    Bucket(BucketAddress),
}

/// Takes a path, absolute or not, or the URL of a destination of files.
pub(in crate::commands) fn source_parser() -> impl TypedValueParser<Value = Source> {
    OsStringValueParser::new().try_map(parse)
}

fn parse(text: OsString) -> Result<Source, String> {
    match text.to_str().filter(|text| text.contains("://")) {
        Some(url) => parse_source(url),
        None => Ok(Source::Path(text.into())),
    }
}

/// Takes a flow log's destination, which must be one of files.
pub(in crate::commands) fn parse_source(url: &str) -> Result<Source, String> {
    match url.parse::<Destination>().map_err(|error| error.to_string())? {
        Destination::Directory(path) => Ok(Source::Path(path)),
        Destination::Bucket { bucket, prefix, endpoint, region } => {
            Ok(Source::Bucket(BucketAddress { bucket, prefix, endpoint, region }))
        }
        Destination::Ipfix(..) | Destination::Otlp(_) => {
            Err("records are read from a path, file:///… or s3://bucket/…, not from a collector".to_owned())
        }
    }
}

impl Source {
    /// The place that the files are in.
    pub(in crate::commands) fn place(&self) -> Result<Place, FlowLogError> {
        match self {
            Self::Path(path) => Ok(Place::Directory(path.clone())),
            Self::Bucket(address) => Bucket::new(address).map(Place::Bucket),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_urls_are_told_apart() {
        for (text, path) in
            [("flows", "flows"), ("../x y", "../x y"), ("file:///var/log/flows", "/var/log/flows")]
        {
            assert_eq!(parse(text.into()), Ok(Source::Path(path.into())));
        }
        let address = BucketAddress {
            bucket: "logs".to_owned(),
            prefix: "a/b".to_owned(),
            endpoint: Some("http://127.0.0.1:9000".to_owned()),
            region: None,
        };
        let bucket = parse("s3://logs/a/b?endpoint=http://127.0.0.1:9000".into());
        assert_eq!(bucket, Ok(Source::Bucket(address)));
    }

    #[test]
    fn what_holds_no_files_is_refused() {
        for (text, said) in [
            ("s3://UPPER", "a bucket's name is"),
            ("ftp://host/x", "is not a destination"),
            ("ipfix+udp://127.0.0.1:4739", "not from a collector"),
        ] {
            let message = parse(text.into()).unwrap_err();
            assert!(message.contains(said), "{message}");
        }
    }
}
