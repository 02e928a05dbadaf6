//! Flow records through the door.

use enid_api::v1::{FlowFilter, FlowRecord, QueryFlowsRequest};
use enid_model::TrafficClass;
use enid_testbed::traffic::{transfer, udp};
use enid_testbed::{DEADLINE, Host, HostOptions, wait_until};
use tonic::{Code, Status};

use crate::ledger::{flush, records};
use crate::networks::{host, host_as, inside, ipv4, ipv6};

fn query(host: &Host, filter: FlowFilter, limit: Option<u64>) -> Result<Vec<FlowRecord>, Status> {
    host.converse(async |client| {
        let request = QueryFlowsRequest { filter: Some(filter), limit };
        let mut stream = client.flows().query(request).await?.into_inner();
        let mut records = Vec::new();
        while let Some(record) = stream.message().await? {
            records.push(record);
        }
        Ok(records)
    })
}

#[test]
fn they_are_what_the_spool_has() {
    let host = host();
    let (web, peer) = (host.create("web", "red/a"), host.create("peer", "red/b"));
    for (port, address) in [(8001, ipv4(&peer)), (8002, ipv6(&peer))] {
        transfer(&inside(&web), &inside(&peer), (address, port).into(), 100_000);
    }
    flush(&host);
    let all = query(&host, FlowFilter::default(), None).unwrap();
    let read = records(&host);
    assert_eq!(all.len(), read.len());
    for (answered, read) in all.iter().zip(&read) {
        assert_eq!(Some(answered.task.as_str()), read.task_name.as_deref());
        assert_eq!(Some(answered.eni_id.as_str()), read.interface_id.map(|id| id.to_string()).as_deref());
        assert_eq!((answered.packets, answered.bytes), (read.packets, read.bytes));
        assert_eq!((Some(answered.start), Some(answered.end)), (read.start, read.end));
        assert_eq!(answered.source, read.srcaddr.map(|address| address.to_string()));
        assert_eq!(answered.destination_port, read.dstport.map(u32::from));
        assert_eq!(answered.tcp_flags, read.tcp_flags.map(u32::from));
        assert_eq!(answered.traffic_class.as_deref(), read.traffic_class.map(TrafficClass::as_str));
    }

    let filter = FlowFilter {
        task: Some("web".to_owned()),
        direction: Some("egress".to_owned()),
        port: Some(8002),
        protocol: Some("tcp".to_owned()),
        action: Some("ACCEPT".to_owned()),
        peer: Some(format!("{}/64", ipv6(&peer).to_string().trim_end_matches('4'))),
        ..FlowFilter::default()
    };
    let one = query(&host, filter, None).unwrap();
    assert_eq!(one.len(), 1, "{one:?}");
    assert!(one[0].bytes.unwrap() > 100_000);
    assert_eq!(query(&host, FlowFilter::default(), Some(2)).unwrap(), all[..2]);
    let later = FlowFilter { since: Some(all[0].end + 1000), ..FlowFilter::default() };
    assert_eq!(query(&host, later, None).unwrap(), []);
}

#[test]
fn what_is_no_condition_is_refused() {
    let host = host();
    for filter in [
        FlowFilter { task: Some("-".to_owned()), ..FlowFilter::default() },
        FlowFilter { eni_id: Some("web".to_owned()), ..FlowFilter::default() },
        FlowFilter { source: Some("10.0.0.1/8".to_owned()), ..FlowFilter::default() },
        FlowFilter { port: Some(65_536), ..FlowFilter::default() },
        FlowFilter { action: Some("drop".to_owned()), ..FlowFilter::default() },
        FlowFilter { traffic_class: Some("log".to_owned()), ..FlowFilter::default() },
    ] {
        let refused = query(&host, filter.clone(), None).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{filter:?}: {refused}");
    }
}

/// Callers that take nothing hold no more than their number, and what they hold is free when they go.
#[test]
fn queries_at_once_are_bounded() {
    let room = 1 << 16;
    let host =
        host_as(&HostOptions { flow_capacity: room, flows_per_eni: Some(room), ..HostOptions::default() });
    let (web, peer) = (host.create("web", "red/a"), host.create("peer", "red/b"));
    let socket = udp(&inside(&web), ipv4(&web), 5000);
    // More records, some megabytes, than are on their way to somebody who takes none: HTTP/2 buffers 0.4 (h2).
    for port in 1..=20_000 {
        socket.send_to(b"x", (ipv4(&peer), port)).unwrap();
    }
    flush(&host);
    let refused = host
        .converse(async |client| {
            let mut held = Vec::new();
            let refused = loop {
                match client.flows().query(QueryFlowsRequest::default()).await {
                    Ok(stream) => held.push(stream),
                    Err(status) => break status,
                }
                assert!(held.len() < 20, "nobody is refused");
            };
            assert_eq!(held.len(), 8);
            Ok(refused)
        })
        .unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    let again = || query(&host, FlowFilter::default(), Some(1)).is_ok_and(|records| records.len() == 1);
    assert!(wait_until(DEADLINE, again));
}
