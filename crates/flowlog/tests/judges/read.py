"""Reads files of flow records as others do, and prints each record as a line of JSON: names with underscores, values as text,
none for what is absent.

    read.py duckdb DIRECTORY FIELD…            DuckDB, Hive partitions, the published table definition
    read.py flowlogs ENDPOINT BUCKET SINCE     flowlogs_reader, from a bucket, an hour from a Unix second on
    read.py bucket ENDPOINT BUCKET             makes the bucket
"""

import json
import sys
from calendar import timegm
from datetime import datetime, timedelta

# The columns of the table that the user guide defines over Parquet files, `bigint` and `int` as there.
PUBLISHED = """
version int, account_id string, interface_id string, srcaddr string, dstaddr string, srcport int, dstport int,
protocol bigint, packets bigint, bytes bigint, start bigint, "end" bigint, action string, log_status string, vpc_id string,
subnet_id string, instance_id string, tcp_flags int, type string, pkt_srcaddr string, pkt_dstaddr string, region string,
az_id string, sublocation_type string, sublocation_id string, pkt_src_aws_service string, pkt_dst_aws_service string,
flow_direction string, traffic_path int, "aws-account-id" string, "aws-service" string, "aws-region" string, year string,
month string, day string, hour string
"""


def show(record):
    print(json.dumps({name: str(value) for name, value in record.items() if value is not None}))


def client(endpoint):
    import boto3

    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")


def duckdb(directory, *fields):
    import duckdb

    files = f"read_parquet('{directory}/**/*.parquet', hive_partitioning = true, hive_types_autocast = false)"
    if fields == ("published",):
        # Partitions are columns, so that a day is read by its folder alone.
        duckdb.execute(f"create table records ({PUBLISHED})")
        duckdb.execute(f"insert into records by name select * from {files} where year = '2018' and month = '06'")
        partitions = '"aws-account-id", "aws-service", "aws-region", year, month, day, hour'
        query = f"select * exclude ({partitions}) from records"
    else:
        query = "select " + ", ".join(f'"{field}"' for field in fields) + f" from {files}"
    rows = duckdb.execute(query)
    names = [column[0] for column in rows.description]
    for row in rows.fetchall():
        show(dict(zip(names, row)))


def flowlogs(endpoint, bucket, since):
    from flowlogs_reader import S3FlowLogsReader

    begin = datetime(1970, 1, 1) + timedelta(seconds=int(since))
    reader = S3FlowLogsReader(
        bucket, boto_client=client(endpoint), start_time=begin, end_time=begin + timedelta(hours=1), raise_on_error=True
    )
    for record in reader:
        fields = record.to_dict()
        for name in ("start", "end"):
            fields[name] = timegm(fields[name].utctimetuple())
        show(fields)


def bucket(endpoint, name):
    client(endpoint).create_bucket(Bucket=name)


globals()[sys.argv[1]](*sys.argv[2:])
