//! What a task has cost, from its flow records.

use std::collections::BTreeMap;

use enid_api::Client;
use enid_api::v1::{FlowFilter, FlushRequest, QueryFlowsRequest};

/// Prints packets and bytes by traffic class and direction.
pub(crate) async fn print(client: &Client, task: &str) -> anyhow::Result<()> {
    // What is counted and not written yet.
    client.flows().flush(FlushRequest {}).await?;
    let filter = FlowFilter { task: Some(task.to_owned()), ..FlowFilter::default() };
    let request = QueryFlowsRequest { filter: Some(filter), limit: None };
    let mut records = client.flows().query(request).await?.into_inner();
    let mut classes: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
    while let Some(record) = records.message().await? {
        let (Some(class), Some(direction)) = (record.traffic_class, record.direction) else { continue };
        let (packets, bytes) = classes.entry((class, direction)).or_default();
        *packets += record.packets.unwrap_or(0);
        *bytes += record.bytes.unwrap_or(0);
    }
    println!("{:<12}  {:<9}  {:>8}  {:>12}", "CLASS", "DIRECTION", "PACKETS", "BYTES");
    for ((class, direction), (packets, bytes)) in classes {
        println!("{class:<12}  {direction:<9}  {packets:>8}  {bytes:>12}");
    }
    Ok(())
}
