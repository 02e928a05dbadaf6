//! Measures delivery to collectors of this host that throw away what they get, in records a second: run it with
//! `--release`.
#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use enid_delivery::{Destination, Parcel, Sink};
use enid_flowlog::{Direction, FlowRecord, Format, Interface, Observation, Traffic};
use enid_model::{EcsTask, EniId, SubnetId, Tags, TrafficClass, VpcId};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

const RECORDS: u32 = 200_000;
const INTERFACES: u32 = 20;
const ROUNDS: u64 = 5;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let interfaces = (0..INTERFACES).map(interface).collect::<Result<Vec<_>, _>>()?;
    let records: Vec<_> = interfaces.iter().cycle().zip(0..RECORDS).map(record).collect();

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
        }
        Ok::<_, std::io::Error>(())
    });
    measure(&format!("ipfix+tcp://127.0.0.1:{port}"), "", &records, &Format::default()).await?;

    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = socket.local_addr()?.port();
    tokio::spawn(async move {
        let mut datagram = [0; 2048];
        while socket.recv(&mut datagram).await.is_ok() {}
    });
    measure(&format!("ipfix+udp://127.0.0.1:{port}"), "", &records, &Format::default()).await?;

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    let otlp = format!("otlp+http://127.0.0.1:{port}");
    measure(&otlp, "default format", &records, &Format::default()).await?;
    measure(&otlp, "complete format", &records, &Format::complete()).await
}

/// Answers every request with yes.
async fn answer(stream: TcpStream) -> Result<(), std::io::Error> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let mut length = 0;
    while stream.read_line(&mut line).await? > 0 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if line == "\r\n" {
            tokio::io::copy(&mut (&mut stream).take(length), &mut tokio::io::sink()).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await?;
        }
        line.clear();
    }
    Ok(())
}

async fn measure(
    destination: &str,
    what: &str,
    records: &[FlowRecord],
    format: &Format,
) -> Result<(), Box<dyn Error>> {
    let destination: Destination = destination.parse()?;
    let mut sink = Sink::to_collector(&destination)?.ok_or("is no collector")?;
    let mut best = Duration::MAX;
    for position in 0..ROUNDS {
        let start = Instant::now();
        sink.deliver(&Parcel { records, format, position }).await?;
        best = best.min(start.elapsed());
    }
    let rate = f64::from(RECORDS) / best.as_secs_f64();
    println!("{destination} {what}: {rate:.0} records a second");
    Ok(())
}

fn interface(index: u32) -> Result<Arc<Interface>, Box<dyn Error>> {
    Ok(Arc::new(Interface {
        account_id: "123456789010".parse()?,
        eni: EniId::random(),
        task: Some(format!("web-{index}").parse()?),
        vpc: VpcId::random(),
        subnet: SubnetId::random(),
        region: "ap-southeast-2".parse()?,
        zone: "apse2-az3".parse()?,
        ecs: EcsTask { cluster_name: Some("shop".parse()?), ..EcsTask::default() },
        tags: Tags::default(),
        shown_tags: [None, None],
    }))
}

fn record((interface, number): (&Arc<Interface>, u32)) -> FlowRecord {
    let (src, dst): (IpAddr, IpAddr) = if number.is_multiple_of(4) {
        (Ipv6Addr::from(u128::from(number)).into(), Ipv6Addr::LOCALHOST.into())
    } else {
        (Ipv4Addr::from(number).into(), Ipv4Addr::LOCALHOST.into())
    };
    let traffic = Traffic {
        src,
        dst,
        src_port: 40_000,
        dst_port: 443,
        protocol: 6,
        packets: number.into(),
        bytes: u64::from(number) * 1400,
        drop_reason: None,
        tcp_flags: 3,
        direction: Direction::Egress,
        traffic_path: Some(8),
        class: TrafficClass::Application,
    };
    FlowRecord::new(Arc::clone(interface), 1_418_530_010, 1_418_530_070, Observation::Traffic(traffic))
}
