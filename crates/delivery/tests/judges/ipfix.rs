//! IPFIX as netflow_parser and tshark read it, over UDP and TCP.

use std::net::Ipv4Addr;
use std::time::Duration;

use enid_delivery::{DeliveryError, Destination, Parcel, Sink};
use enid_flowlog::{FlowRecord, Format};
use tokio::net::TcpListener;

use crate::parser::read;
use crate::records::{START, Seen, flow, flows, interface, no_data, skip_data};
use crate::socket::{Datagrams, Stream, sink};
use crate::tshark::{self, Carrier};

async fn deliver(sink: &mut Sink, records: &[FlowRecord], position: u64) -> Result<(), DeliveryError> {
    sink.deliver(&Parcel { records, format: &Format::default(), position }).await
}

/// Delivers as often as it takes.
async fn deliver_at_last(sink: &mut Sink, records: &[FlowRecord], position: u64) {
    for _ in 0..100 {
        match deliver(sink, records, position).await {
            Ok(()) => return,
            Err(error) => assert!(error.is_worth_repeating(), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("was not delivered");
}

#[tokio::test]
async fn datagrams_say_every_field() {
    let collector = Datagrams::bind().await;
    let mut sink = sink("ipfix+udp", collector.port);
    let mut messages = Vec::new();
    let records = flows(1200, START);
    for (position, records) in (0..).zip(records.chunks(400)) {
        deliver(&mut sink, records, position).await.unwrap();
        messages.extend(collector.messages());
    }
    assert!(messages.iter().all(|message| message.len() <= 1232), "no fragments at IPv6's smallest MTU");
    let seen = read(&messages);
    assert_eq!(seen.flows, Seen::expected(&records));
    seen.assert_in_sequence();
    // Three domains, three parcels: templates at the beginning of each.
    assert_eq!(seen.messages.iter().filter(|message| message.has_templates).count(), 9);
    let shown = tshark::read(Carrier::Udp, &messages);
    assert_eq!(shown.flows, Seen::expected(&records));
    assert_eq!(shown.warnings, Vec::<String>::new());
    // What it would say of a message that is lost.
    messages.remove(5);
    let warnings = tshark::read(Carrier::Udp, &messages).warnings;
    assert!(warnings.iter().any(|warning| warning.contains("Unexpected flow sequence")), "{warnings:?}");
}

#[tokio::test]
async fn each_address_of_a_name_has_its_turn() {
    // On one of localhost's addresses only: the other one refuses.
    let collector = Datagrams::bind().await;
    let destination: Destination = format!("ipfix+udp://localhost:{}", collector.port).parse().unwrap();
    let mut sink = Sink::to_collector(&destination).unwrap().unwrap();
    let records = flows(100, START);
    if let Err(error) = deliver(&mut sink, &records, 0).await {
        assert!(matches!(error, DeliveryError::Send { .. }), "{error}");
        deliver(&mut sink, &records, 0).await.unwrap();
    }
    assert_eq!(read(&collector.messages()).flows, Seen::expected(&records));
}

#[tokio::test]
async fn templates_come_again_within_a_long_parcel() {
    let collector = Datagrams::bind().await;
    let mut sink = sink("ipfix+udp", collector.port);
    let records: Vec<_> = (0..860).map(|number| flow(&interface(0), number, START)).collect();
    deliver(&mut sink, &records, 0).await.unwrap();
    let messages = collector.messages();
    let seen = read(&messages);
    let with: Vec<_> = (0..).zip(&seen.messages).filter(|(_, message)| message.has_templates).collect();
    let with: Vec<usize> = with.into_iter().map(|(index, _)| index).collect();
    assert_eq!(with, (0..messages.len()).step_by(32).collect::<Vec<_>>());
    assert!(with.len() > 2);
    seen.assert_in_sequence();
    // A collector that comes in the middle reads on from the next templates.
    let late = read(&messages[32..]);
    assert_eq!(late.flows.len(), late.messages.iter().map(|message| message.records as usize).sum::<usize>());
}

#[tokio::test]
async fn records_without_traffic_are_no_flows_and_losses_are_totals() {
    let collector = Datagrams::bind().await;
    let mut sink = sink("ipfix+udp", collector.port);
    let records = [
        no_data(&interface(0)),
        skip_data(&interface(2), 5, 0),
        skip_data(&interface(1), 1, 0),
        no_data(&interface(1)),
    ];
    deliver(&mut sink, &records, 0).await.unwrap();
    deliver(&mut sink, &[skip_data(&interface(1), 2, 7)], 1).await.unwrap();
    let messages = collector.messages();
    let seen = read(&messages);
    assert_eq!(seen.flows, []);
    let (one, two) = (0x0101_0102, 0x0202_0203);
    assert_eq!(seen.losses, [[one, 1, 100, 0], [two, 5, 500, 0], [one, 3, 300, 7]]);
    seen.assert_in_sequence();
    assert_eq!(tshark::read(Carrier::Udp, &messages).warnings, Vec::<String>::new());
}

#[tokio::test]
async fn a_connection_has_its_templates_once_and_the_next_one_again() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut sink = sink("ipfix+tcp", port);
    let records = flows(6000, START);
    let parcels: Vec<_> = records.chunks(2000).collect();
    let has = |count: usize| move |messages: &[Vec<u8>]| read(messages).flows.len() == count;

    let (delivered, mut stream) = tokio::join!(deliver(&mut sink, parcels[0], 0), Stream::accept(&listener));
    delivered.unwrap();
    deliver(&mut sink, parcels[1], 1).await.unwrap();
    let messages = stream.messages(has(4000)).await;
    let first = read(&messages);
    assert_eq!(first.flows, Seen::expected(&records[..4000]));
    first.assert_in_sequence();
    assert_eq!(first.messages.iter().filter(|message| message.has_templates).count(), 3);
    let shown = tshark::read(Carrier::Tcp, &messages);
    assert_eq!((shown.flows, shown.warnings), (Seen::expected(&records[..4000]), Vec::new()));

    // The collector goes away: nothing listens.
    stream.close().await;
    drop(listener);
    let error = deliver(&mut sink, parcels[2], 2).await.unwrap_err();
    assert!(matches!(error, DeliveryError::Connect { .. }), "{error}");
    assert!(error.is_worth_repeating());

    // It comes back, and the parcel is repeated: in a new transport session, whose sequences begin anew.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let (delivered, mut stream) = tokio::join!(deliver(&mut sink, parcels[2], 2), Stream::accept(&listener));
    delivered.unwrap();
    let messages = stream.messages(has(2000)).await;
    let second = read(&messages);
    assert_eq!(second.flows, Seen::expected(parcels[2]));
    second.assert_in_sequence();
    assert_eq!(second.messages.iter().filter(|message| message.has_templates).count(), 3);

    // It closes the connection and goes on listening: the next parcel takes a new one. Where
    // the word of the end is still on its way when the parcel sets out, it is repeated, as any that fails.
    stream.close().await;
    let ((), mut stream) = tokio::join!(deliver_at_last(&mut sink, parcels[0], 3), Stream::accept(&listener));
    assert_eq!(read(&stream.messages(has(2000)).await).flows, Seen::expected(parcels[0]));
}

#[tokio::test]
async fn a_connection_closed_in_the_middle_is_an_error() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut sink = sink("ipfix+tcp", listener.local_addr().unwrap().port());
    // More than the sockets' buffers hold.
    let records = flows(200_000, START);
    let close = async { drop(listener.accept().await) };
    let (delivered, ()) = tokio::join!(deliver(&mut sink, &records, 0), close);
    let error = delivered.unwrap_err();
    assert!(matches!(error, DeliveryError::Send { .. } | DeliveryError::Closed { .. }), "{error}");
    assert!(error.is_worth_repeating());
}
