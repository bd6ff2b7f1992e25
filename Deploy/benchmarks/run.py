"""Measures adtrack on this machine: CPU per request beside nginx, latency, start, memory.

The server has CPU 0 for itself, the load and Redis have CPU 1. Each measurement starts a fresh process, fills its memory,
warms up for a second and measures. In a round every case has its turn, and the order turns by one each round. What is
compared is compared within a round. A measurement during which others used more than 5 % of a core is repeated, twice at
most, and the least disturbed of them is kept and marked if it is above that. Stopped early, it reports what there is.
"""
import argparse
import fnmatch
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from http.client import HTTPException
from subprocess import SubprocessError

sys.dont_write_bytecode = True

from cases import CASES, PEAK, Bench, Directories, filling_seconds  # noqa: E402
from machine import ALLOWED, Meter, Placement, description  # noqa: E402
from report import write_report  # noqa: E402
from servers import Wrong  # noqa: E402

REPEATS = 2
# Seconds that a measurement takes beside its own: start, filling, warm-up, looks at the books.
BESIDE = 3.5
MEMORY_SECONDS = 60


def say(text):
    print(text, flush=True)


class Run:
    """All rounds; every measurement becomes a line of JSON as soon as it is there."""

    def __init__(self, bench, cases, options, out):
        self.bench, self.cases, self.options = bench, cases, options
        self.file = open(out + "/measurements.jsonl", "w", encoding="utf-8")
        self.rows, self.wrong = [], {}
        self.peaks = {}
        self.patience = options.patience
        self.turns = sum(len(self.in_round(round_)) for round_ in range(options.rounds))
        self.turn = 0
        replays = options.rounds * sum(case.sink == "replaying" for case in cases)
        self.expected = (
            self.turns * (options.seconds + BESIDE) + replays * filling_seconds(options.seconds)
            + MEMORY_SECONDS * any(case.kind == "memory" for case in cases)
        )
        self.until = time.monotonic() + options.repeats * self.expected

    def in_round(self, round_):
        """Closed loops first, turned by the round; what needs their peak after them."""
        closed = [case for case in self.cases if case.kind == "closed"]
        others = [case for case in self.cases if case.kind in ("open", "start")]
        # Memory doesn't vary with what else goes on: once is enough.
        last = [case for case in self.cases if case.kind == "memory" and round_ == 0]
        return turned(closed, round_) + turned(others, round_) + last

    def go(self):
        say(f"{self.turns} measurements, about {self.expected / 60:.0f} minutes; "
            f"no repeats after {self.options.repeats * self.expected / 60:.0f}")
        for round_ in range(self.options.rounds):
            for case in self.in_round(round_):
                self.turn += 1
                self.measure(round_, case)
        self.file.close()

    def measure(self, round_, case):
        """Until it was undisturbed, or the tries or the time are over."""
        tries = []
        for attempt in range(1 + REPEATS):
            if attempt and time.monotonic() > self.until:
                break
            self.await_quiet()
            try:
                figures = self.bench.measure(case, self.peaks.get(round_, 0))
            except (Wrong, OSError, ValueError, SubprocessError, HTTPException) as problem:
                self.wrong.setdefault(case.name, f"round {round_ + 1}: {problem}")
                say(f"WRONG {case.name}: {problem}")
                break
            place = {"case": case.name, "round": round_ + 1, "attempt": attempt + 1}
            tries.append(place | {"disturbed": figures["others"] > ALLOWED} | figures)
            say(f"{self.turn:3}/{self.turns}  round {round_ + 1}  {case.name:18} {summary(tries[-1])}")
            if not tries[-1]["disturbed"]:
                break
        if tries:
            kept = min(tries, key=lambda row: row["others"])
            for row in tries:
                self.keep(row | {"kept": row is kept})
            if case.name == PEAK:
                self.peaks[round_] = kept["requestsPerSecond"]

    def await_quiet(self):
        """Until others use no more than is allowed, or the run has waited enough."""
        while self.patience > 0:
            began = time.monotonic()
            meter = Meter(None, self.bench.redis.pid)
            time.sleep(0.5)
            if meter.read()["others"] <= ALLOWED:
                return
            self.patience -= time.monotonic() - began

    def keep(self, row):
        self.rows.append(row)
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()


def turned(cases, round_):
    by = round_ % len(cases) if cases else 0
    return cases[by:] + cases[:by]


def summary(row):
    parts = []
    if "cpuPerRequest" in row:
        parts.append(f"{row['cpuPerRequest']:6.2f} µs of CPU a request, {row['requestsPerSecond']:7,} a second")
    if "p999Ms" in row:
        parts.append(f"p50 {row['p50Ms']:.2f} p99 {row['p99Ms']:.2f} p99.9 {row['p999Ms']:.2f} ms")
    if "startMs" in row:
        parts.append(f"{row['startMs']:.0f} ms")
    if "randomBytes" in row:
        sizes = (row[name] / (1 << 20) for name in ("emptyBytes", "programsBytes", "randomBytes"))
        parts.append(" → ".join(f"{size:.1f}" for size in sizes) + " MiB")
    if row["disturbed"]:
        parts.append(f"disturbed: others had {row['others']:.0%} of a core")
    return ", ".join(parts)


def options():
    parser = argparse.ArgumentParser(
        prog="Deploy/benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="1 to 100 (3)")
    parser.add_argument("--seconds", type=int, default=5, help="of one measurement, 1 to 30 (5)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these cases; * and ? stand for any letters")
    parser.add_argument("--out", default=".build/benchmark/results", help="of the results (.build/benchmark/results)")
    parser.add_argument("--disk", default=".build/benchmark", help="a directory on a real disk, for journals (.build/benchmark)")
    parser.add_argument("--repeats", type=float, default=1.5, metavar="SHARE",
                        help="no measurement is repeated once the run took so many times what it should, 0 to 3 (1.5)")
    parser.add_argument("--patience", type=float, default=60, metavar="SECONDS",
                        help="how long the run may wait, in all, for others to be quiet before a measurement (60)")
    parser.add_argument("--list", action="store_true", help="name the cases and end")
    parsed = parser.parse_args()
    if not 1 <= parsed.rounds <= 100 or not 1 <= parsed.seconds <= 30:
        parser.error("--rounds is 1 to 100, --seconds 1 to 30")
    if not 0 <= parsed.repeats <= 3:
        parser.error("--repeats is 0 to 3")
    parsed.cases = chosen(parser, parsed.only)
    return parsed


def chosen(parser, names):
    if not names:
        return CASES
    for name in names:
        if not any(fnmatch.fnmatch(case.name, name) for case in CASES):
            parser.error(f"there is no case {name}; --list names them")
    found = [case for case in CASES if any(fnmatch.fnmatch(case.name, name) for name in names)]
    if any(case.kind == "open" for case in found) and all(case.name != PEAK for case in found):
        found.append(next(case for case in CASES if case.name == PEAK))
    return found


def room(path, bytes_needed):
    return os.path.isdir(path) and os.access(path, os.W_OK) and shutil.disk_usage(path).free >= bytes_needed


def main():
    wanted = options()
    if wanted.list:
        for case in CASES:
            say(f"{case.name:18} {case.says}")
        return 0
    wanted.binary = os.path.abspath(os.environ.get("ADTRACK_BINARY", ""))
    # A journal and its events take some 500 bytes a request.
    needed = (2 * wanted.seconds + filling_seconds(wanted.seconds)) * 100_000 * 500
    os.makedirs(wanted.disk, exist_ok=True)
    os.makedirs(wanted.out, exist_ok=True)
    if not room(wanted.disk, needed):
        raise SystemExit(f"Deploy/benchmark: {wanted.disk} needs {needed >> 20} MiB free")
    if not room("/dev/shm", needed):
        say(f"/dev/shm has less than {needed >> 20} MiB free: what should be in memory is on the disk, too")
    disk = tempfile.mkdtemp(prefix="disk-", dir=os.path.abspath(wanted.disk))
    memory = tempfile.mkdtemp(prefix="adtrack-benchmark-", dir="/dev/shm" if room("/dev/shm", needed) else disk)
    bench = None
    try:
        about = description(disk, memory)
        if about["disk"] in ("tmpfs", "ramfs"):
            say(f"--disk {wanted.disk} is a {about['disk']}: what fsync costs there says nothing about a disk")
        bench = Bench(wanted, Placement(), Directories(disk, memory))
        bench.setup()
        run = Run(bench, wanted.cases, wanted, wanted.out)
        try:
            run.go()
        except KeyboardInterrupt:
            run.wrong["the run"] = f"stopped before measurement {run.turn} of {run.turns} was done"
        about |= {"rounds": wanted.rounds, "seconds": wanted.seconds, "bodyBytes": len(bench.body), "peak": PEAK}
        about["nice"] = os.nice(0)
        write_report(wanted.out, about, wanted.cases, run.rows, run.wrong)
        with open(wanted.out + "/results.md", encoding="utf-8") as results:
            say("\n" + results.read())
        say(f"Written to {wanted.out}: results.md, measurements.jsonl, machine.json, cost.svg")
        for name, sentence in run.wrong.items():
            print(f"Deploy/benchmark: {name}, {sentence}", file=sys.stderr)
        return 1 if run.wrong else 0
    except (Wrong, KeyboardInterrupt) as problem:
        print(f"Deploy/benchmark: {problem}", file=sys.stderr)
        return 1
    finally:
        if bench:
            bench.redis.end()
        shutil.rmtree(memory, ignore_errors=True)
        shutil.rmtree(disk, ignore_errors=True)


if __name__ == "__main__":
    # As Ctrl-C does: what was measured is reported.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
