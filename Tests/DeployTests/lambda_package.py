#!/usr/bin/env python3
"""Starts the zip of Deploy/package-lambda where there is nothing else, as root:

    Tests/DeployTests/lambda_package.py .build/adtrack-lambda.zip

`Deploy/check --all` does it with a package of the binary that was built, a debug one where there is no other (15 s); by hand it
is for the package that is to be deployed.

The root file system holds the package, a static shell (busybox) and empty folders: no C library, no authorities, no /proc. The
function has to answer an event, to store it, and to have no file mapped that is not its own. Ends with 0 where all of it holds.
"""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

FOLDER = pathlib.Path(__file__).resolve().parent


def make_root(root, package):
    for name in ("bin", "etc", "proc", "tmp", "var/task"):
        (root / name).mkdir(parents=True)
    # unzip keeps what may be executed; Python's zipfile does not.
    subprocess.run(["unzip", "-q", package, "-d", root / "var/task"], check=True)
    shutil.copy(shutil.which("busybox") or "/bin/busybox", root / "bin/busybox")
    (root / "bin/sh").symlink_to("busybox")
    libraries = list(root.glob("lib*")) + list(root.glob("usr"))
    assert not libraries, f"the root is not bare: {libraries}"


def event(message_id):
    data = b"\x0a\x01p\x42" + bytes([len(message_id)]) + message_id.encode()
    return json.dumps({"Records": [{
        "eventID": "shardId-000000000000:4" + "0" * 55, "eventSourceARN": "arn:aws:kinesis:::stream/events",
        "kinesis": {"sequenceNumber": "4" + "0" * 55, "partitionKey": "k", "data": base64.b64encode(data).decode()},
    }]}).encode()


def invoke(port, body):
    url = f"http://127.0.0.1:{port}/_invoke"
    with urllib.request.urlopen(urllib.request.Request(url, data=body, method="POST"), timeout=40) as answer:
        return json.load(answer)


def await_function(port, function):
    """Until it asks for an event; a cold disk takes its time."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if function.poll() is not None:
            raise RuntimeError(f"it ended with {function.returncode} before it asked for an event")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_state", timeout=40) as answer:
            if json.load(answer)["waiting"]:
                return
        time.sleep(0.05)
    raise TimeoutError("it asks for no event")


def foreign_files(process, root):
    """What it has mapped from elsewhere; the kernel names files as this process sees them."""
    paths = {line.split(maxsplit=5)[5].strip() for line in open(f"/proc/{process}/maps") if line.count("/")}
    return sorted(path for path in paths if "/var/task/" not in path and not path.startswith(("/dev", f"{root}/tmp", "/tmp")))


def main(package):
    api = subprocess.Popen(
        [sys.executable, FOLDER.parent / "StandIns/runtime_api.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    port = api.stdout.readline().split()[1]
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        make_root(root, package)
        function = subprocess.Popen(
            # Lambda has /proc, and libdispatch looks there once a second for what its threads do.
            ["unshare", "--mount", "/bin/sh", "-c", f"mount -t proc proc {root}/proc && exec chroot {root} /bin/sh -c "
             "'cd /var/task; exec ./bootstrap'"],
            env={"PATH": "/bin:/usr/sbin:/usr/bin:/sbin", "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}", "_HANDLER": "consume",
                 "LAMBDA_TASK_ROOT": "/var/task", "ADTRACK_TO": "sqlite:/tmp/events.sqlite"})
        try:
            await_function(port, function)
            answer = invoke(port, event("one"))
            assert answer["kind"] == "response" and json.loads(answer["body"]) == {"batchItemFailures": []}, answer
            assert invoke(port, b"{}")["type"] == "Function.InvalidEvent"
            foreign = foreign_files(function.pid, root)
            assert not foreign, f"mapped from elsewhere: {foreign}"
            assert (root / "tmp/events.sqlite").stat().st_size > 0
        finally:
            function.terminate()
            status = function.wait(20)
            api.kill()
        assert status == 0, f"it ended with {status}"
    print(f"{os.path.basename(package)} starts, answers and ends in a bare root")


if __name__ == "__main__":
    main(sys.argv[1])
