"""Starts a program in a bare root as the unit and the image would: read-only, no rights, the unit's system calls and no others.

    unshare --mount /usr/bin/python3 in_bare_root.py ROOT STATE BINARY program arguments…

Needs root, and Debian's python3-seccomp. Ends by becoming the program, so its process id stays.
"""

import ctypes
import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import seccomp

HERE = Path(__file__).resolve().parent
USER = 10001
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
PR_CAPBSET_DROP = 24
libc = ctypes.CDLL(None, use_errno=True)


def mount(source: Path, target: Path, flags: int) -> None:
    if libc.mount(str(source).encode(), str(target).encode(), None, flags, None) != 0:
        raise OSError(ctypes.get_errno(), f"mounting {source} on {target}")


def expanded(names: list[str]) -> set[str]:
    """System calls of systemd's groups."""
    calls: set[str] = set()
    for name in names:
        if not name.startswith("@"):
            calls.add(name)
            continue
        listed = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager", name], capture_output=True, text=True, check=True)
        members = [line.strip() for line in listed.stdout.splitlines()[1:] if not line.strip().startswith("#")]
        calls |= expanded([member for member in members if member])
    return calls


def allowed() -> set[str]:
    """As the unit says it: lines add, those with ~ take away, in their order."""
    unit = (HERE / "../../Deploy/systemd/adtrack.service").read_text()
    # execve is systemd's as well, on the way to the program.
    calls = expanded(["@default", "execve"])
    for line in re.findall(r"^SystemCallFilter=(.+)$", unit, re.M):
        names = expanded(line.removeprefix("~").split())
        calls = calls - names if line.startswith("~") else calls | names
    return calls


def main() -> None:
    root, state, binary = (Path(argument).resolve() for argument in sys.argv[1:4])
    program = sys.argv[4:]
    calls = allowed()
    libraries = subprocess.run(["ldd", binary], capture_output=True, text=True).stdout
    runtimes = {str(Path(path).parent) for path in re.findall(r"=> (/\S+/libswift\S+) ", libraries)}

    mount(Path("none"), Path("/"), MS_REC | MS_PRIVATE)
    for runtime in runtimes:
        # A debug build has Swift's libraries beside the compiler, the image has them in the binary.
        (root / runtime.lstrip("/")).mkdir(parents=True, exist_ok=True)
    mount(root, root, MS_BIND | MS_REC)
    mount(binary, root / "usr/local/bin/adtrack", MS_BIND)
    for script in ("health-check", "in-journal-slot"):
        mount((HERE / "../../Deploy/container" / script).resolve(), root / "usr/local/bin" / script, MS_BIND)
    for runtime in runtimes:
        mount(Path(runtime), root / runtime.lstrip("/"), MS_BIND)
    mount(Path("/proc"), root / "proc", MS_BIND | MS_REC)
    mount(Path("/dev"), root / "dev", MS_BIND | MS_REC)
    mount(Path("none"), root, MS_BIND | MS_REMOUNT | MS_RDONLY)
    os.chown(state, USER, USER)
    mount(state, root / "var/lib/adtrack", MS_BIND)

    os.chroot(root)
    os.chdir("/var/lib/adtrack")
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)
    filter = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    for call in sorted(calls):
        try:
            filter.add_rule(seccomp.ALLOW, call)
        except (RuntimeError, ValueError):
            pass  # Of another architecture.
    # With it goes no_new_privs.
    filter.load()
    os.execvp(program[0], program)


main()
