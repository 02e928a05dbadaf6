-- DuckDB over Parquet files in folders of plain numbers, with one for each hour. Columns and their types are the files' own.
CREATE OR REPLACE VIEW flow_logs AS
SELECT * EXCLUDE filename,
  CAST(split_part(filename, '/', -5) AS INTEGER) AS year,
  CAST(split_part(filename, '/', -4) AS INTEGER) AS month,
  CAST(split_part(filename, '/', -3) AS INTEGER) AS day,
  CAST(split_part(filename, '/', -2) AS INTEGER) AS hour
FROM read_parquet('s3://flows/prod/AWSLogs/**/*.parquet', filename = true);
