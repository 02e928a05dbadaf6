//! The door: the socket, who comes to it, and what they may.

mod guard;
mod visitor;

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream as BlockingUnixStream;
use std::path::Path;

use tokio::net::UnixListener;

use crate::EnidError;
use crate::daemon::StartError;

pub(crate) use guard::Guard;
pub(crate) use visitor::{Peer, Porter};

/// What somebody may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rights {
    /// Nothing.
    None,
    /// Look.
    Read,
    /// Look and change.
    Change,
}

/// A group, by name and number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    name: String,
    id: u32,
}

/// Who may what: root may all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Access {
    changers: Option<Group>,
    readers: Option<Group>,
}

impl Access {
    /// The groups that a configuration names.
    pub(crate) fn new(changers: Option<&str>, readers: Option<&str>) -> Result<Self, StartError> {
        Ok(Self { changers: changers.map(group).transpose()?, readers: readers.map(group).transpose()? })
    }

    /// What a peer may.
    pub(crate) fn rights(&self, peer: &Peer) -> Rights {
        let is_in = |group: &Option<Group>| group.as_ref().is_some_and(|group| peer.is_in(group.id));
        if peer.user == 0 || is_in(&self.changers) {
            Rights::Change
        } else if is_in(&self.readers) {
            Rights::Read
        } else {
            Rights::None
        }
    }

    /// Listens on a socket for those who may something, as far as its mode can tell them. A socket that nobody listens
    /// on any more is replaced.
    pub(crate) fn listen(&self, path: &Path) -> Result<UnixListener, StartError> {
        if BlockingUnixStream::connect(path).is_ok() {
            return Err(StartError::Running(path.to_owned()));
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(EnidError::file("remove the stale socket", path)(error).into());
            }
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(EnidError::file("listen on", path))?;
        std::os::unix::fs::chown(path, None, self.changer_group())
            .map_err(EnidError::file("change the group of", path))?;
        // A file has one group: with two, everybody may knock, and is asked who they are.
        let mode = if self.readers.is_some() { 0o666 } else { 0o660 };
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, mode).map_err(EnidError::file("change the mode of", path))?;
        Ok(listener)
    }

    /// The group that may change things.
    pub(crate) fn changer_group(&self) -> Option<u32> {
        self.changers.as_ref().map(|group| group.id)
    }

    /// Who may change things, for a sentence.
    fn changers(&self) -> String {
        match &self.changers {
            Some(group) => format!("root and the group `{}`", group.name),
            None => "root".to_owned(),
        }
    }
}

/// A group by name, from `/etc/group` (group(5)).
fn group(name: &str) -> Result<Group, StartError> {
    let path = "/etc/group";
    let groups = std::fs::read_to_string(path).map_err(EnidError::file("read", path))?;
    groups
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let id = (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()?;
            Some(Group { name: name.to_owned(), id })
        })
        .ok_or_else(|| StartError::NoGroup(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn root_and_two_groups_have_their_rights() {
        let group = |name: &str, id| Some(Group { name: name.to_owned(), id });
        let access = Access { changers: group("enid", 900), readers: group("watch", 901) };
        let rights =
            |user, group, groups: &[u32]| access.rights(&Peer { user, group, groups: groups.into() });
        assert_eq!(rights(0, 0, &[]), Rights::Change);
        assert_eq!(rights(1000, 900, &[]), Rights::Change);
        assert_eq!(rights(1000, 1000, &[901, 900]), Rights::Change);
        assert_eq!(rights(1000, 901, &[]), Rights::Read);
        assert_eq!(rights(1000, 1000, &[27, 901]), Rights::Read);
        // Membership in root's group is not root.
        assert_eq!(rights(1000, 0, &[27]), Rights::None);
        let nobody = Access::default();
        assert_eq!(nobody.rights(&Peer { user: 1000, group: 900, groups: [901].into() }), Rights::None);
    }

    #[test]
    fn root_may_all_whatever_is_configured() {
        let (one, _other) = UnixDatagram::pair().unwrap();
        let peer = Peer::of(one.as_fd()).unwrap();
        assert_eq!(Access::default().rights(&peer), Rights::Change, "tests of the daemon run as root");
    }

    #[test]
    fn groups_are_read_from_the_system() {
        assert_eq!(group("root").unwrap().id, 0);
        assert!(matches!(group("no-such-group"), Err(StartError::NoGroup(_))));
    }
}
