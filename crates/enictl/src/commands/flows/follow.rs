//! Records as they are written.

use std::process::ExitCode;

use enid_api::Client;
use enid_api::v1::{FollowRequest, FollowResponse};
use enid_flowlog::{Filter, Format, LineParser, ParsedRecord};

use super::printer::Printer;
use crate::failure::Failure;
use crate::text::grouped;

/// Prints the records that the filter lets through, until the daemon ends the stream.
pub(super) async fn follow(
    client: Client,
    filter: &Filter,
    mut printer: Printer,
) -> Result<ExitCode, Failure> {
    let mut stream = client.flows().follow(FollowRequest {}).await?.into_inner();
    let mut lines = Lines::default();
    // A table's header, so that one sees that it has begun.
    printer.flush()?;
    let mut is_printed = true;
    loop {
        let message = tokio::select! {
            biased;
            message = stream.message() => message?,
            // There is no other one yet.
            () = std::future::ready(()), if !is_printed => {
                printer.flush()?;
                is_printed = true;
                continue;
            }
        };
        let Some(message) = message else { break };
        if message.missed > 0 {
            eprintln!(
                "enictl: missed {} of the flow records, written faster than they could be followed; \
                 `enictl flows` reads them from their files",
                grouped(message.missed)
            );
        }
        if let Some(record) = lines.parse(&message)?
            && filter.matches(&record)
        {
            printer.print(&record)?;
            is_printed = false;
        }
    }
    printer.flush()?;
    Err(Failure::Daemon("the daemon ended the stream of flow records: is it stopping?".to_owned()))
}

/// Reads the lines of the format that the last header named.
#[derive(Default)]
struct Lines {
    header: String,
    parser: Option<LineParser>,
}

impl Lines {
    /// The message's record; none in one that only tells what was missed.
    fn parse(&mut self, message: &FollowResponse) -> Result<Option<ParsedRecord>, Failure> {
        if message.record.is_empty() {
            return Ok(None);
        }
        let parser = match &mut self.parser {
            Some(parser) if self.header == message.header => parser,
            parser => {
                let format = Format::from_header(&message.header)
                    .map_err(|error| unreadable("header", &error.to_string()))?;
                self.header.clone_from(&message.header);
                parser.insert(LineParser::new(format))
            }
        };
        let record = parser.parse(&message.record);
        record.map(Some).map_err(|error| unreadable("flow record", &error.to_string()))
    }
}

fn unreadable(what: &str, reason: &str) -> Failure {
    Failure::Daemon(format!(
        "the daemon sent a {what} that can't be read: {reason}; it is of another version than this enictl"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_may_change_and_a_message_may_have_no_record() {
        let mut lines = Lines::default();
        let mut parse = |header: &str, record: &str| {
            lines.parse(&FollowResponse { record: record.to_owned(), header: header.to_owned(), missed: 0 })
        };
        assert_eq!(parse("bytes", "1").unwrap().unwrap().bytes, Some(1));
        assert_eq!(parse("bytes", "2").unwrap().unwrap().bytes, Some(2));
        assert_eq!(parse("packets", "3").unwrap().unwrap().packets, Some(3));
        assert_eq!(parse("", "").unwrap(), None);
        assert!(parse("packets", "x").unwrap_err().to_string().contains("flow record"));
        assert!(parse("colour", "x").unwrap_err().to_string().contains("header"));
    }
}
