#!/usr/bin/env python3
"""A client of enid in Python, from the protocol alone.

    pip install grpcio-tools grpcio-status
    python -m grpc_tools.protoc -I crates/api/proto --python_out=. --grpc_python_out=. enid/v1/enid.proto
    PYTHONPATH=. python examples/python/enid_client.py /run/enid/enid.sock default-a

Creates a task in two steps, watches what happens meanwhile, reads its counters and its flow records, and deletes it.
"""

import sys

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from enid.v1 import enid_pb2 as enid
from enid.v1 import enid_pb2_grpc as services


class Client:
    """The services of one daemon, over one connection."""

    def __init__(self, socket):
        # HTTP/2 wants a name for whom it talks to; without this it is the socket's path, which is none.
        options = [("grpc.default_authority", "enid.sock")]
        self.channel = grpc.insecure_channel(f"unix:{socket}", options=options)
        self.networks = services.NetworkServiceStub(self.channel)
        self.tasks = services.TaskServiceStub(self.channel)
        self.flow_logs = services.FlowLogServiceStub(self.channel)
        self.flows = services.FlowServiceStub(self.channel)
        self.events = services.EventServiceStub(self.channel)
        self.host = services.HostServiceStub(self.channel)


def refusal(error):
    """Why the daemon refused: the reason's name, what to do, and the object that it is about."""
    reason, todo, kind, name = None, None, None, None
    for detail in rpc_status.from_call(error).details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
            reason, todo = info.reason, info.metadata.get("todo")
        elif detail.Is(error_details_pb2.ResourceInfo.DESCRIPTOR):
            resource = error_details_pb2.ResourceInfo()
            detail.Unpack(resource)
            kind, name = resource.resource_type, resource.resource_name
    return reason, todo, kind, name


def main(socket, subnet):
    client = Client(socket)
    version = client.host.Version(enid.VersionRequest(), timeout=10)
    print(f"{version.api} revision {version.api_revision}, enid {version.version}")

    events = client.events.Watch(enid.WatchRequest(task="python"))
    assert next(events).kind == "watching"
    request = enid.CreateTaskRequest(name="python", subnet=subnet, tags={"Name": "python"})
    for step in client.tasks.CreateInSteps(request, timeout=10):
        print(f"ready for {step.ready_for}: {step.task.eni.id} {step.task.eni.ipv4} in {step.task.netns}")
    # The same again gives the same answer; other content under the same name is refused.
    again = client.tasks.Create(request, timeout=10)
    assert again == step.task
    try:
        client.tasks.Create(enid.CreateTaskRequest(name="python", subnet=subnet, mtu=1500), timeout=10)
    except grpc.RpcError as error:
        print(f"{error.code().name}: {error.details()}")
        print("refused:", *refusal(error))

    for eni in client.flows.Counters(enid.CountersRequest(task="python"), timeout=10).enis:
        print(f"{eni.task}: {eni.egress.packets} packets out, {eni.ingress.packets} in")
    client.tasks.Delete(enid.DeleteTaskRequest(name="python"), timeout=10)
    client.flows.Flush(enid.FlushRequest(), timeout=10)
    for record in client.flows.Query(enid.QueryFlowsRequest(), timeout=10):
        print(f"record of {record.task}: {record.log_status} {record.bytes} bytes")
    for event in events:
        print(f"event {event.sequence}: {event.kind} {event.task}")
        if event.kind == "task-deleted":
            events.cancel()
            break


if __name__ == "__main__":
    main(*sys.argv[1:])
