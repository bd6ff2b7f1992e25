"""The machine: which CPU does what, how busy it was with other things, and its description."""
import os
import platform
import re
import shutil
import subprocess
import time

TICK = os.sysconf("SC_CLK_TCK")

# Above this share of one core, used by others, a measurement counts as disturbed.
ALLOWED = 0.05


class Placement:
    """The server has a CPU of its own and the load another; with a second core for it and no third CPU they share one.

    All of them, nginx too, go ahead of the machine's other processes where that is allowed (nice(2), as root). It doesn't help
    against who stays in a kernel that nobody may interrupt.
    """

    NICENESS = -10

    def __init__(self):
        free = sorted(os.sched_getaffinity(0))
        if len(free) < 2:
            raise SystemExit("Deploy/benchmark: two CPUs are needed, one for the server and one for the load")
        self.one_core = str(free[0])
        self.two_cores = f"{free[0]},{free[1]}"
        self.load = str(free[1] if len(free) == 2 else free[2])
        os.sched_setaffinity(0, {int(self.load)})
        try:
            os.nice(self.NICENESS)
        except PermissionError:
            pass

    def server(self, cores):
        return self.one_core if cores == 1 else self.two_cores


def descendants(pid):
    """The process and its children, and theirs."""
    found = [pid]
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as children:
                for child in children.read().split():
                    found += descendants(int(child))
    except OSError:
        pass
    return found


def cpu_seconds(pid):
    """User and system time of the process and its living descendants."""
    total = 0
    for process in descendants(pid):
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def resident_bytes(pid):
    """Resident memory that is the process' own: shared pages count by their share."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        return int(re.search(r"^Pss:\s+(\d+) kB", rollup.read(), re.MULTILINE).group(1)) * 1024


def block_threads():
    """Seconds of each of the kernel's threads that bring blocks to a disk (a sync's, whoever asked for it), by pid and birth."""
    found = {}
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as stat:
                name, _, fields = stat.read().rpartition(")")
        except OSError:
            continue
        # With a minus it rests, with a plus it works.
        if re.search(r"\(kworker/.*[-+]kb", name):
            fields = fields.split()
            found[process, fields[19]] = sum(map(int, fields[11:13])) / TICK
    return found


class Meter:
    """CPU that the server, the load and everybody else used since it was made."""

    def __init__(self, server, redis=None):
        self.pids = {"server": server, "redis": redis}
        self.before, self.blocks = self._read(), block_threads()

    def _read(self):
        with open("/proc/stat", encoding="ascii") as stat:
            fields = [int(word) / TICK for word in stat.readline().split()[1:]]
        own = os.times()
        return {
            "time": time.monotonic(),
            # A kernel that clocks interrupts books them on nobody, and here they are the traffic's; one that does not has
            # them in the processes' times, and only the field of soft interrupts moves.
            "busy": fields[0] + fields[1] + fields[2] + (0 if fields[5] else fields[6]),
            "stolen": fields[7],
            "load": own.user + own.system + own.children_user + own.children_system,
            **{name: cpu_seconds(pid) if pid else 0 for name, pid in self.pids.items()},
        }

    def read(self):
        """CPU seconds by name, and the share of a core that others took."""
        after, blocks = self._read(), block_threads()
        used = {name: value - self.before[name] for name, value in after.items()}
        used["block"] = sum(seconds - self.blocks.get(thread, seconds) for thread, seconds in blocks.items())
        others = used["busy"] - used["server"] - used["redis"] - used["load"] - used["block"] + used["stolen"]
        return {
            "wallSeconds": round(used["time"], 3),
            "serverCPU": round(used["server"], 3),
            "loadCPU": round(used["load"], 3),
            "redisCPU": round(used["redis"], 3),
            "blockCPU": round(used["block"], 3),
            "others": round(max(0.0, others / used["time"]), 4),
        }


def file_system(path):
    """The type of the file system that holds a directory."""
    best, kind = "", "unknown"
    path = os.path.realpath(path)
    with open("/proc/mounts", encoding="utf-8") as mounts:
        for line in mounts:
            _, point, name, *_ = line.split()
            inside = path == point or path.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best):
                best, kind = point, name
    return kind


def first_line(*command):
    """What a program says of its version."""
    if not shutil.which(command[0]):
        return "absent"
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20)
    return (done.stdout.splitlines() or [""])[0].strip()


def description(disk, memory):
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        model = re.search(r"^model name\s*:\s*(.+)$", info.read(), re.MULTILINE)
    with open("/proc/meminfo", encoding="ascii") as info:
        ram = int(info.readline().split()[1]) / (1 << 20)
    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        system = ""
    redis = re.search(r"v=(\S+)", first_line("redis-server", "--version"))
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "cpu": model.group(1).strip() if model else platform.machine(),
        "cores": os.cpu_count(),
        "memoryGiB": round(ram, 1),
        "kernel": platform.release(),
        "system": system,
        "disk": file_system(disk),
        "memoryDisk": file_system(memory),
        "nginx": first_line("nginx", "-v").rpartition("/")[2],
        "redis": redis.group(1) if redis else "unknown",
        "wrk": first_line("wrk", "-v").split()[1].removeprefix("debian/"),
    }
