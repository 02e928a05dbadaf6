"""Asks SQL engines, for the tests of docs/querying-at-scale.md.

    judge.py duckdb | clickhouse | spark    the standard input is JSON: [[definition, [query, …]], …], each definition in a
                                            catalogue of its own; the answer has for each query its rows, values as text and
                                            null, or the error as text
    judge.py parse                          the standard input is JSON: [[dialect, text], …]; the answer has the names and
                                            types of the columns that each text declares
"""

import atexit
import json
import os
import shutil
import sys
import tempfile


def statements(definition):
    lines = [line for line in definition.splitlines() if not line.startswith("--")]
    return [statement for statement in "\n".join(lines).split(";") if statement.strip()]


def shown(rows):
    return [[None if value is None else str(value) for value in row] for row in rows]


def duckdb():
    import duckdb

    def define(definition):
        database = duckdb.connect()
        for statement in statements(definition):
            database.execute(statement)
        return lambda query: shown(database.execute(query).fetchall())

    return define


def clickhouse():
    from chdb import session

    database = session.Session()
    atexit.register(database.cleanup)
    # The store on loopback takes no crowd: what it leaves waiting is tried again half a minute later.
    database.query("SET max_threads = 1")

    def define(definition):
        for statement in statements(definition):
            database.query(statement)

        def ask(query):
            settings = " SETTINGS output_format_json_quote_64bit_integers = 0"
            return shown(json.loads(database.query(query + settings, "JSONCompact").bytes())["data"])

        return ask

    return define


def spark():
    from pyspark.sql import SparkSession

    folder = tempfile.mkdtemp()
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    builder = SparkSession.builder.master("local[2]")
    for name, value in {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "OFF",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": folder + "/warehouse",
        "spark.local.dir": folder,
    }.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    # The last that is registered is the first that is done.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(session.stop)

    def define(definition):
        # A session has settings of its own, a database its tables.
        of_definition = session.newSession()
        name = f"of_definition_{len(session.catalog.listDatabases())}"
        of_definition.sql(f"CREATE DATABASE {name}")
        of_definition.sql(f"USE {name}")
        for statement in statements(definition):
            of_definition.sql(statement)
        return lambda query: shown(of_definition.sql(query).collect())

    return define


def answers(define, questions):
    def answer(ask, query):
        try:
            return ask(query)
        except Exception as error:
            return str(error)

    for definition, queries in questions:
        ask = define(definition)
        yield [answer(ask, query) for query in queries]


def parse(texts):
    import sqlglot
    from sqlglot import exp

    for dialect, text in texts:
        parsed = [tree for tree in sqlglot.parse(text, read=dialect) if tree]
        assert not any(isinstance(tree, exp.Command) for tree in parsed), text
        columns = [column for tree in parsed for column in tree.find_all(exp.ColumnDef)]
        yield [[column.name, column.kind.this.value] for column in columns]


given = json.load(sys.stdin)
kind = sys.argv[1]
given = parse(given) if kind == "parse" else answers(globals()[kind](), given)
# Engines that write to the standard output have done so by now.
result = list(given)
print("\n" + json.dumps(result))
