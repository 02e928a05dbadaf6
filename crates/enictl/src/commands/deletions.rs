//! Deleting several things by name, each whatever becomes of the others.

use enid_api::Client;
use serde::Serialize;
use tonic::Status;

use crate::failure::{Failure, sentence};
use crate::session::Session;

#[derive(Debug, Default, Serialize)]
struct Deletions {
    deleted: Vec<Deletion>,
}

/// What is deleted, now or before.
#[derive(Debug, Serialize)]
struct Deletion {
    name: String,
    existed: bool,
}

/// Deletes things of a kind with a request each, which says whether there was such a thing; prints what became of them,
/// and fails with the sentences of those that could not be deleted.
pub(super) fn delete_each(
    session: &Session,
    kind: &str,
    names: Vec<String>,
    delete: &impl AsyncFn(&Client, String) -> Result<bool, Status>,
) -> Result<(), Failure> {
    let (deletions, failed) = session.talk(async |client| {
        let (mut deletions, mut failed) = (Deletions::default(), Vec::new());
        for name in names {
            match delete(&client, name.clone()).await {
                Ok(existed) => deletions.deleted.push(Deletion { name, existed }),
                Err(status) => failed.push(sentence(&status)),
            }
        }
        Ok((deletions, failed))
    })?;
    let line = |Deletion { name, existed }: &Deletion| {
        if *existed { format!("{kind} {name} deleted\n") } else { format!("there was no {kind} {name}\n") }
    };
    session.format.print(&deletions, |deletions| deletions.deleted.iter().map(line).collect())?;
    if failed.is_empty() { Ok(()) } else { Err(Failure::Several(failed)) }
}
