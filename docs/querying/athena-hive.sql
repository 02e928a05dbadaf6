-- Athena over Parquet files in folders named as Hive names partitions, with one for each hour.
CREATE EXTERNAL TABLE IF NOT EXISTS flow_logs (
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
PARTITIONED BY (aws_account_id string, aws_region string, year int, month int, day int, hour int)
STORED AS PARQUET
LOCATION 's3://flows/prod/AWSLogs/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.aws_account_id.type' = 'enum',
  'projection.aws_account_id.values' = '111122223333,012345678901',
  'projection.aws_region.type' = 'enum',
  'projection.aws_region.values' = 'eu-central-1,us-east-1',
  'projection.year.type' = 'integer',
  'projection.year.range' = '2026,2035',
  'projection.year.digits' = '4',
  'projection.month.type' = 'integer',
  'projection.month.range' = '1,12',
  'projection.month.digits' = '2',
  'projection.day.type' = 'integer',
  'projection.day.range' = '1,31',
  'projection.day.digits' = '2',
  'projection.hour.type' = 'integer',
  'projection.hour.range' = '0,23',
  'projection.hour.digits' = '2',
  'storage.location.template' =
    's3://flows/prod/AWSLogs/aws-account-id=${aws_account_id}/aws-service=vpcflowlogs/aws-region=${aws_region}/year=${year}/month=${month}/day=${day}/hour=${hour}/'
);
