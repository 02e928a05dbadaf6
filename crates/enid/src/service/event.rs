//! `EventService`.

use std::pin::Pin;
use std::sync::Arc;

use enid_api::v1::{self, WatchRequest};
use enid_model::{ModelError, TaskName};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

use crate::EnidError;
use crate::events::{self, Event, EventKind, Events};

/// What happens, at the door.
#[derive(Debug)]
pub(crate) struct EventApi {
    pub(crate) events: Arc<Events>,
}

#[tonic::async_trait]
impl v1::event_service_server::EventService for EventApi {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::Event, Status>> + Send>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let wanted = Wanted::parse(request.into_inner()).map_err(EnidError::from)?;
        let (receiver, last) = self.events.watch();
        let watching = tokio_stream::once(Ok(bare("watching", last, Vec::new())));
        let rest = BroadcastStream::new(receiver).filter_map(move |event| match event {
            Ok(event) => wanted.holds(&event).then(|| Ok(message(event))),
            // Others that were wanted may have been among them.
            Err(BroadcastStreamRecvError::Lagged(count)) => {
                Some(Ok(bare("missed", 0, vec![format!("{count} events")])))
            }
        });
        Ok(Response::new(Box::pin(watching.chain(rest))))
    }
}

/// Which events a watcher wants.
struct Wanted {
    kinds: Vec<EventKind>,
    task: Option<TaskName>,
}

impl Wanted {
    fn parse(WatchRequest { kinds, task }: WatchRequest) -> Result<Self, ModelError> {
        let kind = |name: &String| {
            EventKind::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or_else(|| {
                let known = EventKind::ALL.map(EventKind::as_str).join(", ");
                ModelError::Malformed {
                    kind: "a kind of event",
                    value: name.clone(),
                    reason: format!("expected one of {known}"),
                }
            })
        };
        Ok(Self {
            kinds: kinds.iter().map(kind).collect::<Result<_, _>>()?,
            task: task.map(|name| name.parse()).transpose()?,
        })
    }

    fn holds(&self, event: &Event) -> bool {
        let of_task = |wanted| event.task.as_ref() == Some(wanted);
        (self.kinds.is_empty() || self.kinds.contains(&event.kind)) && self.task.as_ref().is_none_or(of_task)
    }
}

fn message(event: Event) -> v1::Event {
    v1::Event {
        unix_milliseconds: event.unix_milliseconds,
        task: event.task.map(|task| task.to_string()),
        eni_id: event.eni.map(|eni| eni.to_string()),
        ..bare(event.kind.as_str(), event.sequence, event.details)
    }
}

fn bare(kind: &str, sequence: u64, details: Vec<String>) -> v1::Event {
    let unix_milliseconds = events::now();
    v1::Event { kind: kind.to_owned(), sequence, unix_milliseconds, task: None, eni_id: None, details }
}
