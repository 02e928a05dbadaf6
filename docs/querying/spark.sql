-- Spark over Parquet files in folders of plain numbers, with one for each hour: those of January 2026.
SET spark.sql.ansi.doubleQuotedIdentifiers = true;
CREATE TABLE IF NOT EXISTS flow_files (
  version int, account_id string, interface_id string, srcaddr string, dstaddr string, srcport int, dstport int,
  protocol int, packets bigint, bytes bigint, start bigint, `end` bigint, action string, log_status string,
  vpc_id string, subnet_id string, instance_id string, tcp_flags int, type string, pkt_srcaddr string,
  pkt_dstaddr string, region string, az_id string, sublocation_type string, sublocation_id string,
  pkt_src_aws_service string, pkt_dst_aws_service string, flow_direction string, traffic_path int,
  ecs_cluster_arn string, ecs_cluster_name string, ecs_container_instance_arn string,
  ecs_container_instance_id string, ecs_container_id string, ecs_second_container_id string, ecs_service_name string,
  ecs_task_definition_arn string, ecs_task_arn string, ecs_task_id string, reject_reason string, resource_id string,
  encryption_status int, instance_tag string, instance_tag_2 string, interface_tag string, interface_tag_2 string,
  asg_tag string, asg_tag_2 string, interface_type string, next_hop_interface_id string, next_hop_subnet_id string,
  next_hop_az_id string, next_hop_vpc_id string, next_hop_interface_type string, traffic_class string,
  task_name string, drop_reason string, packets_dropped bigint, bytes_dropped bigint, records_dropped bigint
)
USING parquet
OPTIONS (path 's3a://flows/prod/AWSLogs/*/vpcflowlogs/*/2026/01/', recursiveFileLookup 'true');
CREATE OR REPLACE VIEW flow_logs AS
SELECT *,
  CAST(element_at(split(_metadata.file_path, '/'), -5) AS int) AS year,
  CAST(element_at(split(_metadata.file_path, '/'), -4) AS int) AS month,
  CAST(element_at(split(_metadata.file_path, '/'), -3) AS int) AS day,
  CAST(element_at(split(_metadata.file_path, '/'), -2) AS int) AS hour
FROM flow_files;
