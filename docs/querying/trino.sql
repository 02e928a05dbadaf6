-- Trino's Hive connector over Parquet files in folders of plain numbers, with one for each hour.
CREATE TABLE IF NOT EXISTS flow_logs (
  version integer, account_id varchar, interface_id varchar, srcaddr varchar, dstaddr varchar, srcport integer,
  dstport integer, protocol integer, packets bigint, bytes bigint, start bigint, "end" bigint, action varchar,
  log_status varchar, vpc_id varchar, subnet_id varchar, instance_id varchar, tcp_flags integer, type varchar,
  pkt_srcaddr varchar, pkt_dstaddr varchar, region varchar, az_id varchar, sublocation_type varchar,
  sublocation_id varchar, pkt_src_aws_service varchar, pkt_dst_aws_service varchar, flow_direction varchar,
  traffic_path integer, ecs_cluster_arn varchar, ecs_cluster_name varchar, ecs_container_instance_arn varchar,
  ecs_container_instance_id varchar, ecs_container_id varchar, ecs_second_container_id varchar,
  ecs_service_name varchar, ecs_task_definition_arn varchar, ecs_task_arn varchar, ecs_task_id varchar,
  reject_reason varchar, resource_id varchar, encryption_status integer, instance_tag varchar, instance_tag_2 varchar,
  interface_tag varchar, interface_tag_2 varchar, asg_tag varchar, asg_tag_2 varchar, interface_type varchar,
  next_hop_interface_id varchar, next_hop_subnet_id varchar, next_hop_az_id varchar, next_hop_vpc_id varchar,
  next_hop_interface_type varchar, traffic_class varchar, task_name varchar, drop_reason varchar,
  packets_dropped bigint, bytes_dropped bigint, records_dropped bigint,
  aws_account_id varchar WITH (partition_projection_type = 'ENUM',
    partition_projection_values = ARRAY['111122223333', '012345678901']),
  aws_region varchar WITH (partition_projection_type = 'ENUM',
    partition_projection_values = ARRAY['eu-central-1', 'us-east-1']),
  year integer WITH (partition_projection_type = 'INTEGER', partition_projection_range = ARRAY['2026', '2035'],
    partition_projection_digits = 4),
  month integer WITH (partition_projection_type = 'INTEGER', partition_projection_range = ARRAY['1', '12'],
    partition_projection_digits = 2),
  day integer WITH (partition_projection_type = 'INTEGER', partition_projection_range = ARRAY['1', '31'],
    partition_projection_digits = 2),
  hour integer WITH (partition_projection_type = 'INTEGER', partition_projection_range = ARRAY['0', '23'],
    partition_projection_digits = 2)
)
WITH (
  format = 'PARQUET',
  external_location = 's3://flows/prod/AWSLogs/',
  partitioned_by = ARRAY['aws_account_id', 'aws_region', 'year', 'month', 'day', 'hour'],
  partition_projection_enabled = true,
  partition_projection_location_template =
    's3://flows/prod/AWSLogs/${aws_account_id}/vpcflowlogs/${aws_region}/${year}/${month}/${day}/${hour}/'
);
