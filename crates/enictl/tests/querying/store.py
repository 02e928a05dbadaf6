"""Serves folders as a bucket `flows` of an object store on loopback: each below a prefix, its own name. Prints the port, and
ends with the standard input.

    store.py FOLDER…
"""

import os
import sys

import boto3
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
port = server.get_host_and_port()[1]
store = boto3.client(
    "s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
)
store.create_bucket(Bucket="flows")
for folder in sys.argv[1:]:
    for path, _, names in os.walk(folder):
        for name in names:
            file = os.path.join(path, name)
            store.upload_file(file, "flows", os.path.relpath(file, os.path.dirname(folder)))
print(port, flush=True)
sys.stdin.read()
server.stop()
