"""Compares the reading of flow records with DuckDB's, for scripts/bench-files.

bench_files.py FILES FOLDER RECORDS ROUNDS   has the example `files` write them, and reads them in rounds, in turns
bench_files.py duckdb QUERY FOLDER           runs one query, prints its answer and the seconds that it took
"""

import statistics
import subprocess
import sys
import time

# What the example `files` looks for, and in which slot.
TASK, SINCE, LENGTH = "web-3-42", 1_700_000_400 + 5 * 300, 300

QUERIES = {
    "filter": f"""SELECT * FROM {{files}} WHERE task_name = '{TASK}' AND "end" >= {SINCE} AND "end" < {SINCE + LENGTH}""",
    "filter-all": f"SELECT * FROM {{files}} WHERE task_name = '{TASK}'",
    "top": """SELECT CASE flow_direction WHEN 'egress' THEN dstaddr ELSE srcaddr END AS peer, sum(bytes) AS bytes,
        sum(packets), count(*) FROM {files} WHERE log_status = 'OK' GROUP BY peer ORDER BY bytes DESC LIMIT 10""",
}
NAMES = {
    "filter": "one task in 5 minutes of an hour, s",
    "filter-all": "one task in the whole hour, s",
    "top": "top 10 peers by bytes, of all, s",
}


def duckdb_query(query: str, folder: str) -> None:
    import duckdb

    connection = duckdb.connect()
    text = QUERIES[query].format(files=f"read_parquet('{folder}/**/*.parquet', hive_partitioning = false)")
    begin = time.perf_counter()
    rows = connection.execute(text).fetchall()
    seconds = time.perf_counter() - begin
    if query == "top":
        for row in rows:
            print(*row)
    else:
        print("records", len(rows))
    print("seconds", f"{seconds:.4f}")


def run(command: list[str]) -> tuple[list[str], dict[str, float]]:
    """The lines of an answer, and the figures after them."""
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    answer, figures = [], {}
    for line in output.splitlines():
        words = line.split()
        if len(words) == 2 and words[0] in ("seconds", "encoding", "writing"):
            figures[words[0]] = float(words[1])
        else:
            answer.append(line)
    return answer, figures


def rows(query: str, answer: list[str]) -> list[str]:
    """What both answers must have in common: the groups, or how many records there are."""
    if query == "top":
        return [line for line in answer if not line.startswith("records")]
    words = " ".join(answer).split()
    return [words[words.index("records") + 1]]


def main(program: str, folder: str, records: int, rounds: int) -> None:
    _, written = run([program, "write", folder, str(records)])
    print(f"\n{records:,} records of 10 hosts and 1,000 tasks in an hour, as Parquet\n")
    print("| | records/s |\n|---|---:|")
    print(f"| writing, a thread: encoding | {records / written['encoding']:,.0f} |")
    print(f"| and into the folder, synced | {records / written['writing']:,.0f} |")
    readers = {
        "enid": lambda query: run([program, query, folder]),
        "DuckDB": lambda query: run([sys.executable, __file__, "duckdb", query, folder]),
    }
    seconds = {(query, reader): [] for query in QUERIES for reader in readers}
    # Before any round, so that nobody reads from the disk.
    for query in QUERIES:
        answers = [rows(query, read(query)[0]) for read in readers.values()]
        if answers[0] != answers[1]:
            sys.exit(f"{query}: the answers differ: {answers}")
    for turn in range(rounds):
        for query in QUERIES:
            order = list(readers) if turn % 2 == 0 else list(reversed(readers))
            for reader in order:
                seconds[query, reader].append(readers[reader](query)[1]["seconds"])
    print(f"\nReading, equal answers; {rounds} rounds in turns: medians, and the median of the rounds' ratios\n")
    print("| | enid | DuckDB | enid ÷ DuckDB |\n|---|---:|---:|---:|")
    for query, name in NAMES.items():
        ours, theirs = seconds[query, "enid"], seconds[query, "DuckDB"]
        ratio = statistics.median(our / their for our, their in zip(ours, theirs, strict=True))
        print(f"| {name} | {statistics.median(ours):.3f} | {statistics.median(theirs):.3f} | {ratio:.2f} |")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["duckdb", query, folder]:
            duckdb_query(query, folder)
        case [program, folder, records, rounds]:
            main(program, folder, int(records), int(rounds))
        case _:
            sys.exit(__doc__)
