//! What a host manager tells of a task besides its network: which ECS objects it belongs to, and its tags. enid keeps it
//! for flow records.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{ModelError, serde_as_text};

/// An identifier of somebody else's making: 1 to 2,048 visible ASCII characters, so no white space.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identifier(String);

impl Identifier {
    const LONGEST: usize = 2048;

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Identifier {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let is_visible = |byte: u8| byte.is_ascii_graphic();
        // A record's sign for what there is not.
        if text.is_empty() || text == "-" || text.len() > Self::LONGEST || !text.bytes().all(is_visible) {
            let reason = format!("expected 1 to {} visible ASCII characters, and not `-`", Self::LONGEST);
            return Err(ModelError::malformed("an identifier", text, reason));
        }
        Ok(Self(text.to_owned()))
    }
}

serde_as_text!(Identifier);

/// The ECS objects that a task belongs to; each none where nobody said, or where it does not apply.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EcsTask {
    /// The cluster's ARN.
    pub cluster_arn: Option<Identifier>,
    /// The cluster's name.
    pub cluster_name: Option<Identifier>,
    /// The service that started the task; none if no service did.
    pub service_name: Option<Identifier>,
    /// The task definition's ARN, with its revision.
    pub task_definition_arn: Option<Identifier>,
    /// The task's ARN.
    pub task_arn: Option<Identifier>,
    /// The task's id.
    pub task_id: Option<Identifier>,
    /// The runtime's id of the first container.
    pub container_id: Option<Identifier>,
    /// The runtime's id of the second container.
    pub second_container_id: Option<Identifier>,
}

impl EcsTask {
    /// Its fields by the names that they have in records, without `ecs-`.
    pub const fn fields(&self) -> [(&'static str, &Option<Identifier>); 8] {
        [
            ("cluster-arn", &self.cluster_arn),
            ("cluster-name", &self.cluster_name),
            ("service-name", &self.service_name),
            ("task-definition-arn", &self.task_definition_arn),
            ("task-arn", &self.task_arn),
            ("task-id", &self.task_id),
            ("container-id", &self.container_id),
            ("second-container-id", &self.second_container_id),
        ]
    }

    /// As [`Self::fields`], to be changed.
    pub const fn fields_mut(&mut self) -> [(&'static str, &mut Option<Identifier>); 8] {
        [
            ("cluster-arn", &mut self.cluster_arn),
            ("cluster-name", &mut self.cluster_name),
            ("service-name", &mut self.service_name),
            ("task-definition-arn", &mut self.task_definition_arn),
            ("task-arn", &mut self.task_arn),
            ("task-id", &mut self.task_id),
            ("container-id", &mut self.container_id),
            ("second-container-id", &mut self.second_container_id),
        ]
    }
}

/// The tags of an ENI: at most 50; keys of 1 to 128 characters, values of up to 256, as resources in a VPC have them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Tags(BTreeMap<String, String>);

impl Tags {
    const MOST: usize = 50;
    const LONGEST_KEY: usize = 128;
    const LONGEST_VALUE: usize = 256;

    /// Tags by their keys.
    ///
    /// # Errors
    /// There are too many, or a key or value is too long, or a key is empty.
    pub fn new(tags: BTreeMap<String, String>) -> Result<Self, ModelError> {
        if tags.len() > Self::MOST {
            let (kind, value, max) = ("the number of tags", tags.len() as u64, Self::MOST as u64);
            return Err(ModelError::OutOfRange { kind, value, min: 0, max });
        }
        for (key, value) in &tags {
            if key.is_empty() || key.chars().count() > Self::LONGEST_KEY {
                let reason = format!("expected 1 to {} characters", Self::LONGEST_KEY);
                return Err(ModelError::malformed("a tag key", key, reason));
            }
            if value.chars().count() > Self::LONGEST_VALUE {
                let reason = format!("expected at most {} characters", Self::LONGEST_VALUE);
                return Err(ModelError::malformed("a tag value", value, reason));
            }
        }
        Ok(Self(tags))
    }

    /// A tag's value.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// All of them, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl TryFrom<BTreeMap<String, String>> for Tags {
    type Error = ModelError;

    fn try_from(tags: BTreeMap<String, String>) -> Result<Self, ModelError> {
        Self::new(tags)
    }
}

impl From<Tags> for BTreeMap<String, String> {
    fn from(tags: Tags) -> Self {
        tags.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_one_word() {
        for text in ["arn:aws:ecs:us-east-1:123456789012:task/web/0123", "x", &"a".repeat(2048)] {
            assert_eq!(text.parse::<Identifier>().unwrap().as_str(), text);
        }
        for text in ["", "-", "a b", "a\n", "é", &"a".repeat(2049)] {
            assert!(text.parse::<Identifier>().is_err(), "{text}");
        }
    }

    #[test]
    fn tags_have_the_limits_of_a_vpc() {
        let tags = |key: &str, value: &str| Tags::new(BTreeMap::from([(key.to_owned(), value.to_owned())]));
        assert_eq!(tags("Name", "ü 1").unwrap().get("Name"), Some("ü 1"));
        assert_eq!(
            tags("", "x").unwrap_err().to_string(),
            "`` is not a tag key: expected 1 to 128 characters"
        );
        assert!(tags(&"ü".repeat(128), &"ü".repeat(256)).is_ok());
        assert!(tags(&"k".repeat(129), "").is_err());
        assert!(tags("k", &"v".repeat(257)).is_err());
        let many = |count: usize| (0..count).map(|number| (number.to_string(), String::new())).collect();
        assert!(Tags::new(many(50)).is_ok());
        assert_eq!(
            Tags::new(many(51)).unwrap_err().to_string(),
            "the number of tags 51 is out of range: 0 to 50"
        );
    }
}
