#!/usr/bin/env python3
"""moto's Kinesis, DynamoDB and IAM in one thread: moto loses records when PutRecords run beside each other.

    moto_single.py [--port 0] [--check-signatures]

Prints "port N", with --check-signatures followed by an access key and its secret: every request's signature is verified
then, and the key may do everything with Kinesis and DynamoDB but delete a stream.
"""

import argparse
import json
import os
import sys
import threading

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--check-signatures", action="store_true")
options = parser.parse_args()
if options.check_signatures:
    os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "0"

import logging  # noqa: E402

from moto.core import DEFAULT_ACCOUNT_ID  # noqa: E402
from moto.iam.models import iam_backends  # noqa: E402
from moto.server import DomainDispatcherApplication, create_backend_app  # noqa: E402
from werkzeug.serving import make_server  # noqa: E402

logging.getLogger("werkzeug").setLevel(logging.ERROR)


def identity():
    """A user whose key may use both services; resources are not checked by moto but for "*"."""
    backend = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
    backend.create_user("us-east-1", "adtrack")
    policy = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["kinesis:*", "dynamodb:*"], "Resource": "*"},
        {"Effect": "Deny", "Action": ["kinesis:DeleteStream"], "Resource": "*"},
    ]}
    backend.put_user_policy("adtrack", "all", json.dumps(policy))
    key = backend.create_access_key("adtrack")
    return f" {key.access_key_id} {key.secret_access_key}"


server = make_server("127.0.0.1", options.port, DomainDispatcherApplication(create_backend_app), threaded=False)
print(f"port {server.port}" + (identity() if options.check_signatures else ""), flush=True)


def end_with_parent():
    sys.stdin.buffer.read()
    os._exit(0)


if not os.path.samestat(os.fstat(0), os.stat(os.devnull)):
    threading.Thread(target=end_with_parent, daemon=True).start()
server.serve_forever()
