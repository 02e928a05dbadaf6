//! Errors with details: what a status says to programs, beside its sentence.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of all reasons (`google.rpc.ErrorInfo`).
const DOMAIN: &str = "enid";
/// The key of what to do.
const TODO: &str = "todo";

/// Why a request was refused, as a status's details have it (`google.rpc.ErrorInfo` and `ResourceInfo`).
///
/// ```
/// # let status = tonic::Status::not_found("there is no task `web`");
/// if let Some(refusal) = enid_api::Refusal::of(&status) {
///     println!("{} {:?}: {:?}", refusal.reason, refusal.object, refusal.todo);
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What it is, in capitals: `TASK_DIFFERS`. It never changes.
    pub reason: String,
    /// What can be done, for a person.
    pub todo: Option<String>,
    /// The type and the name of the object that it is about: `task` and `web`.
    pub object: Option<(String, String)>,
}

impl Refusal {
    /// What the details of a status say; none if they are not enid's.
    pub fn of(status: &Status) -> Option<Self> {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN)?;
        let resource = details.resource_info();
        Some(Self {
            reason: info.reason.clone(),
            todo: info.metadata.get(TODO).cloned(),
            object: resource.map(|found| (found.resource_type.clone(), found.resource_name.clone())),
        })
    }

    /// A status with these details. What is long, because it quotes what was asked for, is cut: clients take headers of some
    /// kilobytes, and would show another error in its place.
    pub fn into_status(mut self, code: Code, message: String) -> Status {
        let message = bounded(message);
        self.todo = self.todo.map(bounded);
        self.object = self.object.map(|(kind, name)| (kind, bounded(name)));
        let todo = self.todo.clone();
        let metadata: HashMap<String, String> =
            todo.map(|todo| (TODO.to_owned(), todo)).into_iter().collect();
        let mut details = ErrorDetails::new();
        details.set_error_info(self.reason, DOMAIN, metadata);
        if let Some((kind, name)) = self.object {
            details.set_resource_info(kind, name, "", self.todo.unwrap_or_default());
        }
        Status::with_error_details(code, message, details)
    }
}

/// The most bytes of a sentence.
const MOST: usize = 700;

fn bounded(mut text: String) -> String {
    if text.len() > MOST {
        text.truncate(text.floor_char_boundary(MOST));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_read_back() {
        let refusal = Refusal {
            reason: "TASK_DIFFERS".to_owned(),
            todo: Some("delete it first".to_owned()),
            object: Some(("task".to_owned(), "web".to_owned())),
        };
        let status = refusal.clone().into_status(Code::AlreadyExists, "task web exists".to_owned());
        assert_eq!((status.code(), status.message()), (Code::AlreadyExists, "task web exists"));
        assert_eq!(Refusal::of(&status), Some(refusal));
        let bare = Refusal { reason: "STOPPING".to_owned(), todo: None, object: None };
        assert_eq!(Refusal::of(&bare.clone().into_status(Code::Unavailable, String::new())), Some(bare));
        assert_eq!(Refusal::of(&Status::internal("a proxy's own")), None);
    }

    #[test]
    fn a_status_has_room_in_headers() {
        let long = "é".repeat(10_000);
        let refusal = Refusal {
            reason: "OBJECT_NOT_FOUND".to_owned(),
            todo: Some(long.clone()),
            object: Some(("subnet".to_owned(), long.clone())),
        };
        let status = refusal.into_status(Code::NotFound, long);
        assert!(status.message().starts_with("éé") && status.message().ends_with('…'));
        assert!(status.message().len() < 710, "{}", status.message().len());
        // In headers a byte that is not ASCII takes three, and details are in Base64.
        let size = status.message().len() * 3 + status.details().len() * 4 / 3;
        assert!(size < 8_192, "{size}");
    }
}
