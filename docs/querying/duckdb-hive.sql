-- DuckDB over Parquet files in folders named as Hive names partitions, with one for each hour. Columns and their types are
-- the files' own.
CREATE OR REPLACE VIEW flow_logs AS
SELECT * FROM read_parquet(
  's3://flows/prod/AWSLogs/**/*.parquet',
  hive_partitioning = true,
  hive_types = {
    'aws-account-id': VARCHAR, 'aws-service': VARCHAR, 'aws-region': VARCHAR,
    year: INTEGER, month: INTEGER, day: INTEGER, hour: INTEGER
  }
);
