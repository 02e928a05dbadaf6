//! What can be said of a task besides its network: the ECS objects that it belongs to, and its tags.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use enid_api::v1::EcsTask;

use crate::failure::Failure;

/// Options of commands that say it.
#[derive(Debug, Args)]
pub(super) struct EcsOptions {
    /// What flow records have of ECS: cluster-arn, cluster-name, service-name, task-definition-arn, task-arn, task-id,
    /// container-id or second-container-id; repeat it for more
    #[arg(long, value_name = "FIELD=VALUE", value_parser = ecs_field)]
    ecs: Vec<(EcsField, String)>,
}

/// A field of the ECS fields of a record, without `ecs-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EcsField {
    ClusterArn,
    ClusterName,
    ServiceName,
    TaskDefinitionArn,
    TaskArn,
    TaskId,
    ContainerId,
    SecondContainerId,
}

impl EcsField {
    const fn place(self, task: &mut EcsTask) -> &mut Option<String> {
        match self {
            Self::ClusterArn => &mut task.cluster_arn,
            Self::ClusterName => &mut task.cluster_name,
            Self::ServiceName => &mut task.service_name,
            Self::TaskDefinitionArn => &mut task.task_definition_arn,
            Self::TaskArn => &mut task.task_arn,
            Self::TaskId => &mut task.task_id,
            Self::ContainerId => &mut task.container_id,
            Self::SecondContainerId => &mut task.second_container_id,
        }
    }

    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl EcsOptions {
    /// The message; refused if a field is named twice.
    pub(super) fn message(self) -> Result<EcsTask, Failure> {
        let mut task = EcsTask::default();
        for (field, value) in self.ecs {
            if field.place(&mut task).replace(value).is_some() {
                return Err(Failure::Usage(format!("--ecs {} is there twice", field.name())));
            }
        }
        Ok(task)
    }
}

/// The fields that there are, by name, in a fixed order.
pub(super) fn fields(task: &EcsTask) -> Vec<(String, String)> {
    let mut task = task.clone();
    let fields = EcsField::value_variants().iter();
    fields.filter_map(|field| Some((field.name(), field.place(&mut task).take()?))).collect()
}

/// Tags by their keys; refused if a key is named twice.
pub(super) fn tags(tags: Vec<(String, String)>) -> Result<BTreeMap<String, String>, Failure> {
    let mut map = BTreeMap::new();
    for (key, value) in tags {
        if map.contains_key(&key) {
            return Err(Failure::Usage(format!("--tag {key} is there twice")));
        }
        map.insert(key, value);
    }
    Ok(map)
}

/// Reads `KEY=VALUE`; the value may be empty, and have a `=` in it.
pub(super) fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected the form KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn ecs_field(text: &str) -> Result<(EcsField, String), String> {
    let (field, value) = key_and_value(text)?;
    let known = EcsField::value_variants().iter().find(|known| known.name() == field);
    let names = || EcsField::value_variants().iter().map(|known| known.name()).collect::<Vec<_>>().join(", ");
    let known = known.ok_or_else(|| format!("there is no field `{field}`; there is {}", names()))?;
    Ok((*known, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_by_name() {
        let ecs = ["task-id=1", "container-id=a=b", "service-name="].map(|text| ecs_field(text).unwrap());
        let task = EcsOptions { ecs: ecs.to_vec() }.message().unwrap();
        assert_eq!(
            fields(&task),
            [("service-name", ""), ("task-id", "1"), ("container-id", "a=b")]
                .map(|(field, value)| (field.to_owned(), value.to_owned()))
        );
        assert!(
            ecs_field("task=1").unwrap_err().starts_with("there is no field `task`; there is cluster-arn, ")
        );
        assert!(ecs_field("task-id").unwrap_err().contains("KEY=VALUE"));
        let twice = EcsOptions { ecs: vec![(EcsField::TaskId, "1".into()), (EcsField::TaskId, "1".into())] };
        assert_eq!(
            twice.message().unwrap_err().to_string(),
            "--ecs task-id is there twice; `--help` says more"
        );
        let pair = |value: &str| ("Name".to_owned(), value.to_owned());
        assert_eq!(tags(vec![pair("a b")]).unwrap(), BTreeMap::from([pair("a b")]));
        assert!(tags(vec![pair("a"), pair("b")]).is_err());
    }
}
