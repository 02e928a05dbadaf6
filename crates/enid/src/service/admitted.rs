//! Requests that wait at a door.

use std::sync::Arc;
use std::time::Duration;

use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Response, Status};

use crate::EnidError;
use crate::admission::Stage;

/// The header with the time that a caller has for a request (gRPC over HTTP/2, "Requests").
const TIMEOUT: &str = "grpc-timeout";
/// How long the request has waited at the door, in microseconds.
const WAITED: &str = "enid-waited-us";
/// How much earlier than the caller's time the waiting ends, as a part of it and at the most: what is begun then would be done too
/// late, and so the answer says what happened before the caller's own clock cuts it off.
const MARGIN: u32 = 10;
const LONGEST_MARGIN: Duration = Duration::from_millis(100);

/// Does work on a thread that may block, once it was let in. The caller can give it up until then, or run out of time; from then
/// on it is done to its end, so that nothing half made is left.
pub(super) async fn admitted<T: Send + 'static>(
    stage: &Arc<Stage>,
    metadata: &MetadataMap,
    work: impl FnOnce() -> Result<T, EnidError> + Send + 'static,
) -> Result<Response<T>, Status> {
    let timeout = metadata.get(TIMEOUT).and_then(|value| timeout(value.to_str().ok()?));
    let turn = match timeout {
        None => stage.enter().await,
        Some(timeout) => tokio::time::timeout(timeout.saturating_sub((timeout / MARGIN).min(LONGEST_MARGIN)), stage.enter()).await.map_err(|_| {
            let reading = stage.read();
            let (name, limit, waiting) = (reading.name, reading.limit, reading.waiting);
            Status::deadline_exceeded(format!(
                "the {name} was not begun within {timeout:?}, and nothing was done: {limit} are under way, and {waiting} more wait; \
                 try again, with a longer deadline"
            ))
        })?,
    };
    let waited = u64::try_from(turn.waited().as_micros()).unwrap_or(u64::MAX);
    let mut response = Response::new(turn.run(work).await.ok_or(EnidError::Stopping)??);
    response.metadata_mut().insert(WAITED, MetadataValue::from(waited));
    Ok(response)
}

/// A time as gRPC writes it: at most eight digits, and a unit.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_beyond_its_deadline_is_not_done() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let stage = Arc::new(Stage::new("create", 1, runtime.handle().clone()));
        runtime.block_on(async {
            let in_front = stage.enter().await;
            let mut metadata = MetadataMap::new();
            metadata.insert(TIMEOUT, "20m".parse().unwrap());
            let error =
                admitted(&stage, &metadata, || -> Result<(), _> { panic!("it was done") }).await.unwrap_err();
            assert_eq!(error.code(), tonic::Code::DeadlineExceeded);
            assert!(
                error.message().starts_with("the create was not begun within 20ms, and nothing was done"),
                "{error}"
            );
            assert_eq!((stage.read().given_up, stage.read().waiting), (1, 0));
            drop(in_front);
            // With no time at all, but nobody in front.
            metadata.insert(TIMEOUT, "0n".parse().unwrap());
            let answer = admitted(&stage, &metadata, || Ok(7)).await.unwrap();
            assert_eq!(*answer.get_ref(), 7);
            assert!(answer.metadata().get(WAITED).is_some());
        });
    }

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        for (text, wanted) in [
            ("1H", Some(Duration::from_hours(1))),
            ("2M", Some(Duration::from_mins(2))),
            ("99999999S", Some(Duration::from_secs(99_999_999))),
            ("500m", Some(Duration::from_millis(500))),
            ("7u", Some(Duration::from_micros(7))),
            ("0n", Some(Duration::ZERO)),
            ("999999999S", None),
            ("-1S", None),
            ("S", None),
            ("1", None),
            ("1s", None),
            ("1é", None),
            ("", None),
        ] {
            assert_eq!(timeout(text), wanted, "{text}");
        }
    }
}
