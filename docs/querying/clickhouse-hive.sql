-- ClickHouse over Parquet files in folders named as Hive names partitions, with one for each hour.
CREATE OR REPLACE VIEW flow_logs AS
SELECT * FROM s3('https://flows.s3.eu-central-1.amazonaws.com/prod/AWSLogs/**/*.parquet', 'Parquet', '
  version Nullable(Int32), account_id Nullable(String), interface_id Nullable(String), srcaddr Nullable(String),
  dstaddr Nullable(String), srcport Nullable(Int32), dstport Nullable(Int32), protocol Nullable(Int32),
  packets Nullable(Int64), bytes Nullable(Int64), start Nullable(Int64), `end` Nullable(Int64),
  action Nullable(String), log_status Nullable(String), vpc_id Nullable(String), subnet_id Nullable(String),
  instance_id Nullable(String), tcp_flags Nullable(Int32), type Nullable(String), pkt_srcaddr Nullable(String),
  pkt_dstaddr Nullable(String), region Nullable(String), az_id Nullable(String), sublocation_type Nullable(String),
  sublocation_id Nullable(String), pkt_src_aws_service Nullable(String), pkt_dst_aws_service Nullable(String),
  flow_direction Nullable(String), traffic_path Nullable(Int32), ecs_cluster_arn Nullable(String),
  ecs_cluster_name Nullable(String), ecs_container_instance_arn Nullable(String),
  ecs_container_instance_id Nullable(String), ecs_container_id Nullable(String),
  ecs_second_container_id Nullable(String), ecs_service_name Nullable(String),
  ecs_task_definition_arn Nullable(String), ecs_task_arn Nullable(String), ecs_task_id Nullable(String),
  reject_reason Nullable(String), resource_id Nullable(String), encryption_status Nullable(Int32),
  instance_tag Nullable(String), instance_tag_2 Nullable(String), interface_tag Nullable(String),
  interface_tag_2 Nullable(String), asg_tag Nullable(String), asg_tag_2 Nullable(String),
  interface_type Nullable(String), next_hop_interface_id Nullable(String), next_hop_subnet_id Nullable(String),
  next_hop_az_id Nullable(String), next_hop_vpc_id Nullable(String), next_hop_interface_type Nullable(String),
  traffic_class Nullable(String), task_name Nullable(String), drop_reason Nullable(String),
  packets_dropped Nullable(Int64), bytes_dropped Nullable(Int64), records_dropped Nullable(Int64),
  `aws-account-id` String, `aws-region` String, year Int32, month Int32, day Int32, hour Int32
') SETTINGS use_hive_partitioning = 1;
