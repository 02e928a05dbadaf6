//! The ECS objects that a task belongs to, as messages have them.

use enid_api::v1;
use enid_model::{EcsTask, ModelError};

/// What a message says, over what was known: what is absent stays, an empty text takes away.
pub(super) fn update(known: &mut EcsTask, message: v1::EcsTask) -> Result<(), ModelError> {
    let texts = [
        message.cluster_arn,
        message.cluster_name,
        message.service_name,
        message.task_definition_arn,
        message.task_arn,
        message.task_id,
        message.container_id,
        message.second_container_id,
    ];
    for ((_, place), text) in known.fields_mut().into_iter().zip(texts) {
        match text.as_deref() {
            None => {}
            Some("") => *place = None,
            Some(text) => *place = Some(text.parse()?),
        }
    }
    Ok(())
}

pub(super) fn message(ecs: &EcsTask) -> v1::EcsTask {
    let texts = ecs.fields().map(|(_, identifier)| identifier.as_ref().map(ToString::to_string));
    let [
        cluster_arn,
        cluster_name,
        service_name,
        task_definition_arn,
        task_arn,
        task_id,
        container_id,
        second_container_id,
    ] = texts;
    v1::EcsTask {
        cluster_arn,
        cluster_name,
        service_name,
        task_definition_arn,
        task_arn,
        task_id,
        container_id,
        second_container_id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_tasks_have_the_same_fields() {
        let mut task = EcsTask::default();
        let said = v1::EcsTask {
            cluster_arn: Some("cluster-arn".into()),
            cluster_name: Some("cluster-name".into()),
            service_name: Some("service-name".into()),
            task_definition_arn: Some("task-definition-arn".into()),
            task_arn: Some("task-arn".into()),
            task_id: Some("task-id".into()),
            container_id: Some("container-id".into()),
            second_container_id: Some("second-container-id".into()),
        };
        update(&mut task, said.clone()).unwrap();
        for (name, identifier) in task.fields() {
            assert_eq!(identifier.as_ref().unwrap().as_str(), name);
        }
        assert_eq!(message(&task), said);
        let next = v1::EcsTask {
            container_id: Some("4f1c".into()),
            service_name: Some(String::new()),
            ..v1::EcsTask::default()
        };
        update(&mut task, next).unwrap();
        let wanted = v1::EcsTask { container_id: Some("4f1c".into()), service_name: None, ..said };
        assert_eq!(message(&task), wanted);
        let bad = v1::EcsTask { task_id: Some("a b".into()), ..v1::EcsTask::default() };
        assert!(update(&mut task, bad).is_err());
    }
}
