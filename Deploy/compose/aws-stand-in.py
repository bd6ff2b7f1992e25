"""Kinesis and DynamoDB for a machine without AWS: moto with one thread, the two streams, the tables and three programs.

    python aws-stand-in.py HOST PORT [--empty]

One thread, because moto is not safe for concurrent puts: it then loses records in silence. --empty creates nothing. Each call is
printed as "call ACCESS-KEY ACTION".
"""

import json
import re
import sys
import threading

import boto3
from moto.awslambda.models import LambdaBackend
from moto.cloudformation import parsing
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

# CloudFormation leaves AWS::NoValue out of lists; moto would keep it as None.
_clean = parsing.clean_json


def _without_nothing(value, resources):
    cleaned = _clean(value, resources)
    return [item for item in cleaned if item is not None] if isinstance(cleaned, list) else cleaned


parsing.clean_json = _without_nothing
# It would run a function within each put, in a container. Who reads the streams here are processes of their own.
LambdaBackend.send_kinesis_message = lambda *_, **__: None

PROGRAMS = [
    {"programId": program, "programName": f"Program {program}", "checksum": "c0ffee", "customerId": 7,
     "customerName": "ACME", "valid": True, "version": 1}
    for program in ("212312", "212313", "212314")
]


def create(endpoint: str) -> None:
    session = boto3.Session("stand-in", "stand-in", region_name="eu-central-1")
    kinesis = session.client("kinesis", endpoint_url=endpoint)
    dynamodb = session.client("dynamodb", endpoint_url=endpoint)
    kinesis.create_stream(StreamName="events", ShardCount=2)
    kinesis.create_stream(StreamName="core-data", ShardCount=1)
    for table in ("events", "events-leases"):
        dynamodb.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    for program in PROGRAMS:
        kinesis.put_record(
            StreamName="core-data", PartitionKey=program["programId"], Data=json.dumps(program).encode()
        )
    print("streams, tables and programs are there", flush=True)


def telling(application):
    """Prints who calls what."""

    def told(environ, start_response):
        key = re.search(r"Credential=([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
        if key and "HTTP_X_AMZ_TARGET" in environ:
            print("call", key[1], environ["HTTP_X_AMZ_TARGET"], flush=True)
        return application(environ, start_response)

    return told


def main() -> None:
    host, port = sys.argv[1], int(sys.argv[2])
    server = make_server(host, port, telling(DomainDispatcherApplication(create_backend_app)), threaded=False)
    print(f"listening on {server.server_port}", flush=True)
    if "--empty" not in sys.argv:
        threading.Thread(target=create, args=(f"http://127.0.0.1:{server.server_port}",), daemon=True).start()
    server.serve_forever()


main()
