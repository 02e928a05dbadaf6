//! What a flow record's fields are called as attributes.
//!
//! The names, and the types of the values, are those of the OpenTelemetry collector's own reader of VPC flow logs
//! (`awslogs_encoding`, format `vpcflow`), so that queries and dashboards work on both. Fields that it does not know
//! are named likewise; enid's own begin with `enid.`.

use enid_flowlog::{Field, Value};
use enid_model::Protocol;

use super::protobuf::Writer;

/// Fields of KeyValue and AnyValue (opentelemetry/proto/common/v1/common.proto).
const KEY: u32 = 1;
const VALUE: u32 = 2;
const STRING_VALUE: u32 = 1;
const INT_VALUE: u32 = 3;

/// The attribute of a field; none for those of the ENI, which are the resource's, and for those that have a place of
/// their own in a log record.
pub(super) const fn name(field: Field) -> Option<&'static str> {
    Some(match field {
        Field::Version => "aws.vpc.flow.log.version",
        Field::SrcAddr => "source.address",
        Field::DstAddr => "destination.address",
        Field::SrcPort => "source.port",
        Field::DstPort => "destination.port",
        Field::Protocol => "network.protocol.name",
        Field::Packets => "aws.vpc.flow.packets",
        Field::Bytes => "aws.vpc.flow.bytes",
        Field::Start => "aws.vpc.flow.start",
        Field::Action => "aws.vpc.flow.action",
        Field::LogStatus => "aws.vpc.flow.status",
        Field::TcpFlags => "network.tcp.flags",
        Field::Type => "network.type",
        Field::PktSrcAwsService => "aws.vpc.flow.source.service",
        Field::PktDstAwsService => "aws.vpc.flow.destination.service",
        Field::FlowDirection => "network.io.direction",
        Field::TrafficPath => "aws.vpc.flow.traffic_path",
        Field::RejectReason => "aws.vpc.flow.reject_reason",
        Field::ResourceId => "aws.vpc.flow.resource_id",
        Field::EncryptionStatus => "aws.vpc.flow.encryption_status",
        Field::NextHopInterfaceId => "aws.vpc.flow.next_hop.interface_id",
        Field::NextHopSubnetId => "aws.vpc.flow.next_hop.subnet_id",
        Field::NextHopAzId => "aws.vpc.flow.next_hop.az_id",
        Field::NextHopVpcId => "aws.vpc.flow.next_hop.vpc_id",
        Field::NextHopInterfaceType => "aws.vpc.flow.next_hop.interface_type",
        Field::TrafficClass => "enid.traffic_class",
        Field::DropReason => "enid.drop_reason",
        Field::PacketsDropped => "enid.packets_dropped",
        Field::BytesDropped => "enid.bytes_dropped",
        Field::RecordsDropped => "enid.records_dropped",
        _ => return None,
    })
}

/// The attribute of the ENI that a field is. All of them are told once for many records, whatever the format.
pub(super) const RESOURCE: [(Field, &str); 18] = [
    (Field::AccountId, "cloud.account.id"),
    (Field::Region, "cloud.region"),
    (Field::AzId, "aws.az.id"),
    (Field::VpcId, "aws.vpc.id"),
    (Field::SubnetId, "aws.vpc.subnet.id"),
    (Field::InterfaceId, "network.interface.name"),
    (Field::InterfaceType, "aws.vpc.flow.interface_type"),
    (Field::InterfaceTag, "aws.vpc.flow.interface_tag"),
    (Field::InterfaceTag2, "aws.vpc.flow.interface_tag_2"),
    (Field::EcsClusterArn, "aws.ecs.cluster.arn"),
    (Field::EcsClusterName, "aws.ecs.cluster.name"),
    (Field::EcsServiceName, "aws.ecs.service.name"),
    (Field::EcsTaskDefinitionArn, "aws.ecs.task.definition.arn"),
    (Field::EcsTaskArn, "aws.ecs.task.arn"),
    (Field::EcsTaskId, "aws.ecs.task.id"),
    (Field::EcsContainerId, "aws.ecs.container.id"),
    (Field::EcsSecondContainerId, "aws.ecs.second.container.id"),
    (Field::TaskName, "enid.task_name"),
];

/// Writes the attribute of a value as the field's kind has it.
pub(super) fn put(writer: &mut Writer, list: u32, field: Field, name: &str, value: Value<'_>) {
    match (field, value) {
        (Field::Protocol, Value::Number(number)) => {
            let number = u8::try_from(number).unwrap_or(u8::MAX);
            put_text(writer, list, name, &Protocol::Number(number).to_string());
            put_number(writer, list, "aws.vpc.flow.protocol", number.into());
        }
        // As the collector's own reader has them.
        (Field::TcpFlags | Field::TrafficPath, value) => put_text(writer, list, name, &value.to_string()),
        (Field::Type, Value::Text(text)) => put_text(writer, list, name, &text.to_ascii_lowercase()),
        (Field::FlowDirection, Value::Text(text)) => {
            put_text(writer, list, name, if text == "ingress" { "receive" } else { "transmit" });
        }
        (_, Value::Number(number)) => put_number(writer, list, name, number),
        (_, Value::Text(text)) => put_text(writer, list, name, text),
        (_, value) => put_text(writer, list, name, &value.to_string()),
    }
}

/// Writes an attribute that is text.
pub(super) fn put_text(writer: &mut Writer, list: u32, name: &str, text: &str) {
    writer.message(list, |pair| {
        pair.bytes(KEY, name.as_bytes());
        pair.message(VALUE, |value| value.bytes(STRING_VALUE, text.as_bytes()));
    });
}

/// Writes an attribute that is a number; the protocol has none beyond 2^63 - 1.
fn put_number(writer: &mut Writer, list: u32, name: &str, number: u64) {
    writer.message(list, |pair| {
        pair.bytes(KEY, name.as_bytes());
        pair.message(VALUE, |value| value.varint(INT_VALUE, number.min(i64::MAX as u64)));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_with_values_has_one_place() {
        for field in Field::ALL.iter().filter(|field| field.is_filled()) {
            let in_resource = RESOURCE.iter().any(|(other, _)| other == field);
            // `end` is the log record's time; the packet's own addresses are those that are there already.
            let elsewhere = matches!(field, Field::End | Field::PktSrcAddr | Field::PktDstAddr);
            let places = [name(*field).is_some(), in_resource, elsewhere];
            assert_eq!(places.iter().filter(|place| **place).count(), 1, "{field}");
        }
    }
}
