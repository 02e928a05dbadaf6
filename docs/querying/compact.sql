-- DuckDB: one file of the records that are in many, of one account, region and 5-minute slot.
COPY (
  SELECT * FROM read_parquet(
    's3://flows/prod/AWSLogs/aws-account-id=111122223333/aws-service=vpcflowlogs/aws-region=eu-central-1/year=2026/month=01/day=31/hour=10/*_20260131T1000Z_*.parquet',
    union_by_name = true, hive_partitioning = false
  )
  ORDER BY start
) TO
  's3://flows/compact/AWSLogs/aws-account-id=111122223333/aws-service=vpcflowlogs/aws-region=eu-central-1/year=2026/month=01/day=31/hour=10/111122223333_vpcflowlogs_eu-central-1_fl-00000000000000000_20260131T1000Z_00000000.log.parquet'
  (FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE 65536);
