//! Tasks as text.

use enid_api::v1::{IdleTimeouts, Task};

use super::ecs;
use crate::text::Column::Left;
use crate::text::{Pairs, Table, or_dash};

/// A line for each task.
pub(super) fn tasks(tasks: &[Task]) -> String {
    let mut table = Table::new([
        Left("NAME"),
        Left("ENI"),
        Left("IPV4"),
        Left("IPV6"),
        Left("ZONE"),
        Left("SUBNET"),
        Left("NETNS"),
    ]);
    for task in tasks {
        let eni = task.eni.as_ref();
        table.row([
            task.name.clone(),
            or_dash(eni.map(|eni| &eni.id)),
            or_dash(eni.and_then(|eni| eni.ipv4.as_ref())),
            or_dash(eni.and_then(|eni| eni.ipv6.as_ref())),
            or_dash(eni.map(|eni| &eni.zone)),
            or_dash(eni.map(|eni| &eni.subnet_id)),
            task.netns.clone(),
        ]);
    }
    table.finish()
}

/// Everything about one task.
pub(super) fn task(task: &Task) -> String {
    let mut pairs = Pairs::default();
    pairs.add("task", &task.name);
    pairs.add("netns", &task.netns);
    if let Some(eni) = &task.eni {
        pairs.add("eni", &eni.id);
        pairs.add("number", eni.number);
        pairs.add("mac", &eni.mac);
        pairs.add_some("ipv4", eni.ipv4.as_ref());
        pairs.add_some("ipv6", eni.ipv6.as_ref());
        pairs.add("mtu", eni.mtu);
        pairs.add_some("ipv4-gateway", eni.ipv4_gateway.as_ref());
        pairs.add_some("ipv6-gateway", eni.ipv6_gateway.as_ref());
        pairs.add("vpc", &eni.vpc_id);
        pairs.add("subnet", &eni.subnet_id);
        pairs.add("zone", &eni.zone);
        pairs.add_list("security-groups", &eni.security_group_ids);
        pairs.add_some("idle-timeouts", eni.idle_timeouts.as_ref().map(idle_timeouts));
    }
    if let Some(dns) = &task.dns {
        pairs.add_list("dns", &dns.servers);
        pairs.add_list("dns-search", &dns.search);
        pairs.add_some("private-name", dns.private_name.as_ref());
    }
    pairs.add("platform-version", &task.platform_version);
    for (field, value) in task.ecs.iter().flat_map(ecs::fields) {
        pairs.add(&format!("ecs-{field}"), value);
    }
    for (key, value) in &task.tags {
        pairs.add("tag", format_args!("{key}={value}"));
    }
    // The map has no order of its own.
    let mut environment: Vec<_> = task.environment.iter().collect();
    environment.sort();
    for (name, value) in environment {
        pairs.add("environment", format_args!("{name}={value}"));
    }
    pairs.to_string()
}

fn idle_timeouts(timeouts: &IdleTimeouts) -> String {
    let IdleTimeouts { tcp_established, udp, udp_stream } = timeouts;
    let named = [("tcp", tcp_established), ("udp", udp), ("udp-stream", udp_stream)];
    let named = named.into_iter().filter_map(|(name, seconds)| Some(format!("{name} {} s", (*seconds)?)));
    named.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use enid_api::v1::{Dns, EcsTask, Eni};

    #[test]
    fn a_task_is_a_line_for_each_property() {
        let task = Task {
            name: "web".into(),
            platform_version: "1.4.0".into(),
            netns: "/run/netns/web".into(),
            eni: Some(Eni {
                id: "eni-1".into(),
                number: 1_000_000,
                mac: "0a:00:00:00:00:01".into(),
                ipv4: Some("10.0.0.4/20".into()),
                mtu: 9001,
                ipv4_gateway: Some("10.0.0.1".into()),
                subnet_id: "subnet-1".into(),
                vpc_id: "vpc-1".into(),
                zone: "a".into(),
                security_group_ids: vec!["sg-1".into(), "sg-2".into()],
                idle_timeouts: Some(IdleTimeouts {
                    tcp_established: Some(432_000),
                    udp: Some(30),
                    udp_stream: Some(180),
                }),
                ..Eni::default()
            }),
            environment: [("B", "2"), ("A", "1")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            dns: Some(Dns { servers: vec!["10.0.0.2".into()], ..Dns::default() }),
            ecs: Some(EcsTask {
                cluster_name: Some("shop".into()),
                container_id: Some("4f1c".into()),
                ..EcsTask::default()
            }),
            tags: [("Name".to_owned(), "web 1".to_owned())].into(),
        };
        assert_eq!(
            super::task(&task),
            "task              web\n\
             netns             /run/netns/web\n\
             eni               eni-1\n\
             number            1000000\n\
             mac               0a:00:00:00:00:01\n\
             ipv4              10.0.0.4/20\n\
             mtu               9001\n\
             ipv4-gateway      10.0.0.1\n\
             vpc               vpc-1\n\
             subnet            subnet-1\n\
             zone              a\n\
             security-groups   sg-1 sg-2\n\
             idle-timeouts     tcp 432000 s, udp 30 s, udp-stream 180 s\n\
             dns               10.0.0.2\n\
             platform-version  1.4.0\n\
             ecs-cluster-name  shop\n\
             ecs-container-id  4f1c\n\
             tag               Name=web 1\n\
             environment       A=1\n\
             environment       B=2\n"
        );
        assert!(tasks(&[Task::default()]).contains('-'));
    }
}
