"""What Deploy/torture and Deploy/benchmark have in common: ports, waits, and programs for the service's Redis."""
import socket
import subprocess
import time


class Failure(Exception):
    """Why a run can't go on."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(check, within, what):
    """Looks every few milliseconds, for so many seconds."""
    deadline = time.monotonic() + within
    while not check():
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {within} s")
        time.sleep(0.005)


def import_programs(binary, path, url):
    """The file's programs into the Redis at the address."""
    done = subprocess.run(
        [binary, "programs", "import", path, "--redis", url],
        check=False, capture_output=True, text=True, timeout=120,
    )
    if done.returncode != 0:
        raise Failure("the programs were not imported: " + done.stderr.strip())
