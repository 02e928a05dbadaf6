//! What the plugin's tasks are known by: the network, the container and its interface, as the specification has it.

use std::collections::BTreeSet;

use enid_api::v1::Task;

/// The tag of a task's ENI that holds the name of the network.
const NETWORK: &str = "cni:network";
/// The tag that holds the container's id.
const CONTAINER: &str = "cni:container-id";
/// The tag that holds the name of the interface.
const INTERFACE: &str = "cni:interface";
/// What the tags that are the plugin's own begin with.
pub(crate) const OWN_TAGS: &str = "cni:";
/// How many characters of a container's id its task's name shows: those that runtimes make have 64.
const SHOWN: usize = 64;

/// A container in a network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Attachment {
    /// The network's name.
    pub(crate) network: String,
    /// The container's id.
    pub(crate) container: String,
    /// Its interface.
    pub(crate) interface: String,
}

impl Attachment {
    /// The name of the task, unless the runtime gives another: the same for the same container in the same network, and
    /// nobody else's but by intent, so that a delete has to ask for nothing first.
    pub(crate) fn task_name(&self) -> String {
        let shown = self.container.get(..SHOWN).unwrap_or(&self.container);
        // No separator is a character of any of them.
        let key = [&*self.network, &*self.container, &*self.interface].join("/");
        format!("cni-{shown}-{:016x}", fnv1a(key.as_bytes()))
    }

    /// The tags that tell whose the task is.
    pub(crate) fn tags(&self) -> [(String, String); 3] {
        [(NETWORK, &self.network), (CONTAINER, &self.container), (INTERFACE, &self.interface)]
            .map(|(key, value)| (key.to_owned(), value.clone()))
    }

    /// Whose a task is, by its tags; nobody's of CNI if it was made by others.
    pub(crate) fn of(task: &Task) -> Option<Self> {
        let tag = |key: &str| task.tags.get(key).cloned();
        Some(Self { network: tag(NETWORK)?, container: tag(CONTAINER)?, interface: tag(INTERFACE)? })
    }
}

/// The tasks of a network that are of none of the containers which are valid.
pub(crate) fn stale<'t>(
    tasks: &'t [Task],
    network: &str,
    valid: &BTreeSet<Attachment>,
) -> impl Iterator<Item = &'t Task> {
    tasks.iter().filter(move |task| {
        Attachment::of(task).is_some_and(|owner| owner.network == network && !valid.contains(&owner))
    })
}

/// FNV-1a of 64 bits: a hash that is the same in every version of this plugin.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use enid_model::TaskName;
    use proptest::prelude::*;

    use super::*;

    fn attachment(network: &str, container: &str, interface: &str) -> Attachment {
        let [network, container, interface] = [network, container, interface].map(str::to_owned);
        Attachment { network, container, interface }
    }

    #[test]
    fn a_name_stays_the_same_in_every_version() {
        // Tasks of an older plugin must be found by a newer one.
        assert_eq!(attachment("vpc", "web", "eth0").task_name(), "cni-web-c3f5fdec5e88911b");
        // The hash's own reference values.
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    }

    #[test]
    fn only_what_a_network_has_and_nobody_claims_is_stale() {
        let task = |owner: Option<Attachment>| Task {
            name: "x".to_owned(),
            tags: owner.iter().flat_map(Attachment::tags).collect(),
            ..Task::default()
        };
        let (here, gone) = (attachment("vpc", "here", "eth0"), attachment("vpc", "gone", "eth0"));
        let tasks = [
            task(Some(here.clone())),
            task(Some(gone.clone())),
            task(Some(attachment("other", "gone", "eth0"))),
            task(None),
        ];
        let stale: Vec<_> =
            stale(&tasks, "vpc", &BTreeSet::from([here])).filter_map(Attachment::of).collect();
        assert_eq!(stale, [gone]);
    }

    proptest! {
        #[test]
        fn every_container_has_a_valid_name_of_its_own(
            network in "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,40}",
            one in "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,200}",
            other in "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,200}",
        ) {
            let name = attachment(&network, &one, "eth0").task_name();
            prop_assert!(name.parse::<TaskName>().is_ok(), "{name}");
            prop_assert_eq!(one == other, name == attachment(&network, &other, "eth0").task_name());
        }

        #[test]
        fn tags_tell_whose_a_task_is(network in "[a-z]{1,9}", container in "[a-z]{1,9}") {
            let owner = attachment(&network, &container, "eth0");
            let task = Task { tags: owner.tags().into(), ..Task::default() };
            prop_assert_eq!(Attachment::of(&task), Some(owner));
        }
    }
}
