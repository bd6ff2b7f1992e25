#!/usr/bin/env python3
"""The endpoints that give credentials to containers (ECS, Fargate, EKS) and EC2 instances (metadata service, version 2).

    credentials.py [--port 0]

Prints "port N". Container: GET /container. Instance: PUT /latest/api/token, GET /latest/meta-data/iam/security-credentials/
(the role's name), the same and the name. Each answer has a new key: AKID1, AKID2, …

    POST /_set   {"seconds": 3600, "status": 200, "authorization": null, "body": null, "code": "Success", "pause": 0}:
                 the life of the next credentials, the status of what gives them, the Authorization that a container must
                 send, a body instead, the instance's Code, and how long an answer takes in seconds
    GET /_log    the requests so far: [method, path, authorization or token]
"""

import argparse
import datetime
import http.server
import json
import os
import sys
import threading
import time

state = {"seconds": 3600, "status": 200, "authorization": None, "body": None, "code": "Success", "pause": 0}
log = []
given = 0
lock = threading.Lock()
TOKEN = "AQAEAMETADATATOKEN=="
ROLES = "/latest/meta-data/iam/security-credentials/"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body):
        body = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def credentials(self, with_code):
        global given
        time.sleep(state["pause"])
        with lock:
            given += 1
            number = given
        if state["body"] is not None:
            return self.answer(state["status"], state["body"])
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=state["seconds"])
        document = {
            "AccessKeyId": f"AKID{number}", "SecretAccessKey": "secret/+", "Token": f"token{number}==",
            "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        if with_code:
            document |= {"Code": state["code"], "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z"}
        return self.answer(state["status"], json.dumps(document))

    def do_PUT(self):
        log.append(["PUT", self.path, self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")])
        if self.path != "/latest/api/token" or not self.headers.get("X-aws-ec2-metadata-token-ttl-seconds"):
            return self.answer(400, "")
        return self.answer(200, TOKEN)

    def do_GET(self):
        if self.path == "/_log":
            return self.answer(200, json.dumps(log))
        if self.path == "/container":
            log.append(["GET", self.path, self.headers.get("Authorization")])
            if state["authorization"] and self.headers.get("Authorization") != state["authorization"]:
                return self.answer(401, "")
            return self.credentials(with_code=False)
        log.append(["GET", self.path, self.headers.get("X-aws-ec2-metadata-token")])
        if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            return self.answer(401, "")
        if self.path == ROLES:
            return self.answer(200, "adtrack-role")
        if self.path == ROLES + "adtrack-role":
            return self.credentials(with_code=True)
        return self.answer(404, "")

    def do_POST(self):
        state.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.answer(200, "{}")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--port", type=int, default=0)
server = http.server.ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Handler)
server.daemon_threads = True
print(f"port {server.server_port}", flush=True)


def end_with_parent():
    sys.stdin.buffer.read()
    os._exit(0)


if not os.path.samestat(os.fstat(0), os.stat(os.devnull)):
    threading.Thread(target=end_with_parent, daemon=True).start()
server.serve_forever()
