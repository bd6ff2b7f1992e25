"""The cases: how each is set up, what it asks, and what has to be true of it afterwards."""
import contextlib
import dataclasses
import os
import shutil
import time

from machine import Meter, resident_bytes
from servers import Nginx, Redis, Service, Wrong, ask_each, closed_loop, free_port, get, open_loop, wait_until

HOT = 10_000        # programs that every loop holds
ALL = 100_000       # programs in Redis
SMALL_CACHE = 1_000
CIRCLE = 30_000     # ids asked in a circle, thirty times what a small cache holds
RANDOM_IDS = 1_000_000
WARM_UP = 1         # seconds
# The peak of which an open loop gets a share.
PEAK_CONNECTIONS = 256
PEAK = f"fsync-{PEAK_CONNECTIONS}-1"


@dataclasses.dataclass(frozen=True)
class Case:
    """What is measured, and beside what it is read."""

    name: str
    says: str
    kind: str = "closed"            # closed loop, open loop, start, memory
    server: str = "adtrack"         # or nginx
    paths: str = "hot"
    result: str = "accepted"        # what the books call the answers
    durability: str = "write"
    on_disk: bool = False
    connections: int = 64
    loops: int = 1                  # or nginx' workers
    cores: int = 1                  # that the loops have
    cache: int = ALL
    sink: str = "file"              # file, refusing, replaying
    share: float = 0.5              # of the peak, for an open loop
    redis: str = "up"               # up, down, none
    reads: str = ""                 # each request reads Redis: found or absent
    beside: str = "nginx"


PLACES = {"1": (1, 1, "1 loop"), "2-on-1": (2, 1, "2 loops on one core"), "2": (2, 2, "2 loops on two cores")}


def durabilities():
    for place in PLACES:
        for connections in (64, 256):
            for durability in ("fsync", "write", "memory")[:2 if place == "2-on-1" else 3]:
                yield on_disk(durability, connections, place, f"write-{connections}-{place}" if durability != "write" else "nginx")
        if PLACES[place][0] == 2:
            # As many connections a loop as the one loop has.
            yield on_disk("fsync", 128, place, "fsync-64-1")


def on_disk(durability, connections, place, beside):
    loops, cores, words = PLACES[place]
    return Case(
        f"{durability}-{connections}-{place}", f"hit, `{durability}`, journal on a disk, {connections} connections, {words}",
        durability=durability, on_disk=True, connections=connections, loops=loops, cores=cores, beside=beside,
    )


def latency(name, says, **others):
    """An open loop with the connections of the peak that it gets a share of."""
    return Case(name, says, kind="open", connections=PEAK_CONNECTIONS, durability="fsync", on_disk=True, **others)


CASES = [
    Case("nginx", "nginx, `return 200` with a body of the same size: no tracking", server="nginx", beside=""),
    Case("nginx-256", "the same with 256 connections", server="nginx", connections=256),
    Case("nginx-2", "nginx with 2 workers on two cores", server="nginx", loops=2, cores=2),
    Case("hit", "hit, `write`, journal in memory"),
    Case("hit-memory", "hit, `memory`, journal in memory", durability="memory", beside="hit"),
    Case("miss", "miss: each request reads Redis and evicts", paths="circle", cache=SMALL_CACHE, reads="found"),
    Case("unknown", "unknown id: each request reads Redis, 404", paths="unknown", result="program_not_found",
         cache=SMALL_CACHE, reads="absent"),
    Case("refused-parameter", "refusal: a type that the program does not take, 422", paths="wrong-type",
         result="type_not_allowed"),
    Case("refused-inactive", "refusal: the program is switched off, 410", paths="inactive", result="program_inactive"),
    Case("redis-down", "hit while Redis is down", redis="down", beside="hit"),
    Case("sink-down", "hit while the sink refuses connections", sink="refusing", beside="hit"),
    Case("replay", "hit while a backlog is delivered to Redis", sink="replaying", beside="hit"),
    *durabilities(),
    latency("latency-quarter", "`fsync` on a disk, healthy, a quarter of the peak", share=0.25, beside=""),
    latency("latency", "the same, half of the peak", beside=""),
    latency("latency-three-quarters", "the same, three quarters", share=0.75, beside=""),
    latency("latency-nginx", "nginx at half of that peak, which answers at once: what the machine and the load add",
            server="nginx", beside=""),
    latency("latency-sink-down", "half of the peak while the sink refuses connections", sink="refusing", beside="latency"),
    latency("latency-replay", "half of the peak while a backlog is delivered to a Redis that has the time that the load leaves",
            sink="replaying", beside="latency"),
    Case("start", "start to the first accepted answer, built-in programs", kind="start", durability="fsync", on_disk=True,
         redis="none", beside=""),
    Case("start-redis", "start to the first accepted answer, programs in Redis", kind="start", durability="fsync",
         on_disk=True, beside=""),
    Case("memory", "resident memory of one loop", kind="memory", beside=""),
]


class Bench:
    """What the cases share: the binary, the directories, Redis with all programs, and how long a case takes."""

    def __init__(self, options, placement, directories):
        self.binary, self.seconds = options.binary, options.seconds
        self.placement, self.directories = placement, directories
        self.redis = Redis(directories.memory + "/redis", placement.load)
        self.recovering = None
        self.body = b""
        self.headers = []

    def setup(self):
        """Redis with its programs, and one answer of the service as the measure of nginx' body."""
        self.redis.start()
        self.redis.take_in(self.binary, self.directories.programs(ALL))
        self.directories.write_paths(CIRCLE)
        with self.service(Case("sample", ""), self.redis) as service:
            status, self.headers, self.body = get(service.port, "/event/p0004242")
            if status != 200:
                raise Wrong(f"the sample was answered {status}")

    @contextlib.contextmanager
    def service(self, case, redis, sink=None):
        """A fresh one."""
        directory = self.directories.fresh(case.on_disk)
        arguments = [
            "--durability", case.durability, "--journal", directory + "/journal", "--journal-max-bytes", "4GiB",
            "--sink", sink or f"file:{self.directories.events}", "--event-loops", str(case.loops),
            "--cache-capacity", str(case.cache), "--log-level", "warning", "--redis-timeout", "1s",
        ]
        if case.reads == "absent":
            # Else the circle is remembered as unknown when it comes round.
            arguments += ["--negative-ttl", "10ms"]
        if redis:
            arguments += ["--redis", redis.url]
        service = Service(self.binary, self.placement.server(case.cores), self.directories.memory + "/log", arguments)
        try:
            service.start()
            yield service
        finally:
            service.end()
            self.directories.clear()

    @contextlib.contextmanager
    def backlogged(self, case):
        """A service with a backlog that nothing takes yet: its sink's Redis is `recovering`, and not there."""
        # Latency is measured by a load that sends on time: a Redis that keeps it from its core would be measured instead.
        aside = case.kind == "open"
        self.recovering = Redis(self.directories.memory + "/redis-sink", self.placement.load, aside)
        try:
            with self.service(case, self.redis, f"redis:events?maxlen=1000&url={self.recovering.url}") as service:
                closed_loop(
                    self.placement.load, service.port, self.directories.paths("hot"), 256, filling_seconds(self.seconds)
                )
                yield service
        finally:
            self.recovering.end()

    def seconds_of(self, case):
        """Delivery is faster than what comes in, so that a backlog lasts for a part of the time that it took to make."""
        return max(1, self.seconds // 2) if case.sink == "replaying" else self.seconds

    def recover(self, case, service):
        """Lets the sink of a backlog answer, and waits until it does; the process of a Redis that then works."""
        if case.sink != "replaying":
            return None if case.redis == "down" else self.redis.pid
        self.recovering.start()
        wait_until(lambda: service.ledger()["journal"]["acknowledged"] > 0, 10, "the backlog is not delivered")
        return self.recovering.pid

    @contextlib.contextmanager
    def without_redis(self, case):
        """A service that has read its programs and then lost Redis."""
        redis = Redis(self.directories.memory + "/redis-to-stop", self.placement.load)
        try:
            redis.start()
            redis.take_in(self.binary, self.directories.programs(HOT))
            with self.service(case, redis) as service:
                ask_each(service.port, self.directories.read("hot"))
                redis.end()
                yield service
        finally:
            redis.end()

    def prepared(self, case):
        if case.redis == "down":
            return self.without_redis(case)
        if case.sink == "replaying":
            return self.backlogged(case)
        sink = f"redis:events?url=redis://127.0.0.1:{free_port()}" if case.sink == "refusing" else None
        return self.service(case, self.redis, sink)

    # The measurements; each returns its figures or says what was wrong.

    def measure(self, case, peak):
        if case.server == "nginx":
            return self.nginx(case, peak)
        if case.kind == "start":
            return self.start(case)
        if case.kind == "memory":
            return self.memory(case)
        with self.prepared(case) as service:
            if case.paths == "hot":
                ask_each(service.port, self.directories.read("hot"), 1 if case.loops == 1 else 6)
            if case.kind == "open":
                return self.latency(case, service, peak)
            return self.closed(case, service)

    def nginx(self, case, peak):
        nginx = Nginx(self.directories.memory + "/nginx", self.placement.server(case.cores), self.body, case.loops)
        try:
            nginx.start()
            status, headers, body = get(nginx.port, "/event/p0000001")
            expect(status == 200 and len(body) == len(self.body), f"nginx answers {status} with {len(body)} bytes")
            expect(set(self.headers) <= set(headers), f"nginx' headers are {headers}, the service's {self.headers}")
            if case.kind == "open":
                return self.at_share_of(peak, case, nginx)[0]
            paths = self.directories.paths("hot")
            closed_loop(self.placement.load, nginx.port, paths, case.connections, WARM_UP)
            meter = Meter(nginx.pid)
            load = closed_loop(self.placement.load, nginx.port, paths, case.connections, self.seconds)
            figures = costs(meter, load)
            expect(load["errors"] == 0 and load["not2xx"] == 0, f"not every answer was 200: {load}")
            return figures | {"residentBytes": resident_bytes(nginx.pid)}
        finally:
            nginx.end()

    def closed(self, case, service):
        paths = self.directories.paths(case.paths)
        closed_loop(self.placement.load, service.port, paths, case.connections, WARM_UP)
        redis = self.recover(case, service)
        look = Look(self, case, service)
        meter = Meter(service.pid, redis)
        load = closed_loop(self.placement.load, service.port, paths, case.connections, self.seconds_of(case))
        figures = costs(meter, load)
        good = load["answers"] if case.result == "accepted" else 0
        expect(load["answers"] - load["not2xx"] == good, f"the answers are not all {case.result}: {load}")
        expect(load["errors"] == 0, f"connections failed: {load}")
        # wrk leaves when its time is up, with a request unanswered on each connection at most.
        figures["books"] = look.compare(load["answers"], case.connections)
        return figures | {"residentBytes": resident_bytes(service.pid)}

    def latency(self, case, service, peak):
        figures, look = self.at_share_of(peak, case, service, lambda: Look(self, case, service))
        return figures | {"books": look.compare(figures["answers"], 0)}

    def at_share_of(self, peak, case, server, look=lambda: None):
        """Figures of an open loop, and what `look` returned before it."""
        paths = self.directories.paths("hot")
        expect(peak > 0, f"there is no peak: {PEAK} was not measured in this round")
        rate = int(peak * case.share)
        open_loop(self.placement.load, self.binary, server.port, paths, case.connections, WARM_UP, rate)
        redis = self.recover(case, server)
        looked = look()
        meter = Meter(server.pid, redis)
        seconds = self.seconds_of(case)
        load = open_loop(self.placement.load, self.binary, server.port, paths, case.connections, seconds, rate)
        figures = meter.read()
        expect(load["errors"] == 0 and load["accepted"] == load["sent"], f"not every answer was 200: {load}")
        expect(load["sent"] >= 0.98 * rate * seconds, f"{load['sent']} requests are not {rate} a second: {load}")
        return figures | {
            "answers": load["accepted"], "targetRate": rate, "requestsPerSecond": round(load["rate"]),
            "late": load["late"], "cpuPerRequest": round(1e6 * figures["serverCPU"] / load["accepted"], 3),
            **{name: load[name] for name in ("p50Ms", "p99Ms", "p999Ms", "maxMs")},
        }, looked

    def start(self, case):
        """From before the process is made to the answer 200; three times."""
        path = "/event/212312" if case.redis == "none" else "/event/p0000001"
        took, meter = [], Meter(None)
        for _ in range(3):
            with self.unstarted(case) as service:
                began = time.monotonic()
                service.launch(service.command, service.cpus, service.log)
                while True:
                    try:
                        if get(service.port, path, timeout=1)[0] == 200:
                            break
                    except OSError:
                        pass
                    expect(time.monotonic() - began < 20, "no accepted answer within 20 s")
                    time.sleep(0.001)
                took.append(round(1000 * (time.monotonic() - began), 1))
                expect(service.ledger()["accepted"] == 1, "the accepted answer is not in the books")
        # A server that ended is in the children's times, as the loads are.
        return meter.read() | {"startMs": sorted(took)[1], "startsMs": took}

    @contextlib.contextmanager
    def unstarted(self, case):
        directory = self.directories.fresh(case.on_disk)
        arguments = ["--durability", case.durability, "--journal", directory + "/journal", "--event-loops", "1",
                     "--sink", f"file:{self.directories.events}"]
        if case.redis != "none":
            arguments += ["--redis", self.redis.url]
        service = Service(self.binary, self.placement.one_core, self.directories.memory + "/log", arguments)
        try:
            yield service
        finally:
            service.end()
            self.directories.clear()

    def memory(self, case):
        """At the start, with every program held, and after as many random ids as no cache can hold."""
        with self.service(case, self.redis) as service:
            meter = Meter(service.pid, self.redis.pid)
            empty = resident_bytes(service.pid)
            codes = ask_each(service.port, (f"/event/p{number:07d}" for number in range(ALL)))
            expect(codes == {"200": ALL}, f"the programs were answered {codes}")
            held = service.metric("adtrack_l1_entries")
            expect(held == ALL, f"{held:.0f} programs are held")
            full = resident_bytes(service.pid)
            codes = ask_each(service.port, random_paths(RANDOM_IDS))
            expect(codes == {"404": RANDOM_IDS}, f"the random ids were answered {codes}")
            refused = service.ledger()["rejected"]["program_not_found"]
            expect(refused == RANDOM_IDS, f"{refused} random ids are in the books")
            return meter.read() | {
                "emptyBytes": empty, "programs": ALL, "programsBytes": full,
                "randomIds": RANDOM_IDS, "randomBytes": resident_bytes(service.pid),
            }


class Look:
    """The service's books, Redis' and the sink's, before a measurement and after it."""

    def __init__(self, bench, case, service):
        self.bench, self.case, self.service = bench, case, service
        self.before = service.settled_ledger()
        self.reads = (0, 0) if case.redis == "down" else bench.redis.reads()

    def compare(self, answers, cut):
        """Raises what does not fit; `cut` requests may have been answered to nobody."""
        after = self.service.settled_ledger()
        case = self.case
        counts = {name: after[name] - self.before[name] for name in ("received", "accepted", "unavailable", "shed")}
        counts |= {name: after["rejected"][name] - number for name, number in self.before["rejected"].items()}
        counts = {name: number for name, number in counts.items() if number}
        for name in ("received", case.result):
            expect(answers <= counts.get(name, 0) <= answers + cut, f"{answers} answers, in the books {counts}")
        expect(counts["received"] == counts[case.result], f"not all were {case.result}: {counts}")
        appended = after["journal"]["appended"] - self.before["journal"]["appended"]
        expect(appended == counts.get("accepted", 0), f"{appended} events in the journal, in the books {counts}")
        found = {"requests": counts, "pending": after["journal"]["pending"]}
        found |= self.compare_reads(counts["received"]) | self.compare_sink(after)
        return found

    def compare_reads(self, received):
        if self.case.redis == "down":
            status = get(self.service.port, "/health/ready")
            expect(status[0] == 503 and b"redis" in status[2], f"Redis is not missed: {status}")
            return {}
        found, absent = (now - then for now, then in zip(self.bench.redis.reads(), self.reads))
        share = {"found": found, "absent": absent}.get(self.case.reads)
        if share is None:
            expect(found + absent <= 0.02 * received, f"{found + absent} reads of Redis for {received} hits")
        else:
            expect(0.95 * received <= share <= 1.01 * received, f"{found} found, {absent} absent for {received} requests")
        return {"redisFound": found, "redisAbsent": absent}

    def compare_sink(self, after):
        delivered, before = ((books["journal"]["acknowledged"]) for books in (after, self.before))
        delivered -= before
        if self.case.sink == "refusing":
            breaker = self.service.metric("adtrack_sink_breaker_state")
            expect(delivered == 0 and breaker > 0, f"the sink is not down: {delivered} delivered, breaker {breaker}")
        if self.case.sink == "replaying":
            backlog = self.before["journal"]["pending"]
            # What is oldest goes first: with more waiting at the start than was delivered, all of it was backlog.
            expect(0 < delivered < backlog, f"{delivered} events were delivered of a backlog of {backlog}")
        return {"backlog": self.before["journal"]["pending"], "delivered": delivered}


def filling_seconds(seconds):
    """How long a backlog is made for a replay."""
    return 4 * seconds + 3


def expect(holds, sentence):
    if not holds:
        raise Wrong(sentence)


def costs(meter, load):
    figures = meter.read()
    return figures | {
        "answers": load["answers"],
        "requestsPerSecond": round(load["answers"] / load["seconds"]),
        "cpuPerRequest": round(1e6 * figures["serverCPU"] / load["answers"], 3),
        "p50Ms": load["p50Ms"], "p99Ms": load["p99Ms"],
    }


def random_paths(count):
    """Ids that differ, from a generator with a fixed seed."""
    state = 20261121
    for _ in range(count):
        # Knuth's MMIX generator: its full period never repeats a state.
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        yield f"/event/r{state:016x}"


class Directories:
    """Where journals, events, Redis and the lists of paths are."""

    def __init__(self, disk, memory):
        self.disk, self.memory = disk, memory
        self.events = memory + "/events"
        self.count = 0
        self.lists = {}

    def fresh(self, on_disk):
        self.count += 1
        self.current = f"{self.disk if on_disk else self.memory}/run-{self.count}"
        return self.current

    def clear(self):
        shutil.rmtree(self.current, ignore_errors=True)
        shutil.rmtree(self.events, ignore_errors=True)
        # Else the file system gives its space back while the next case is measured.
        os.sync()

    def programs(self, count):
        """A file of programs for `adtrack programs import`; some are switched off."""
        path = f"{self.memory}/programs-{count}.json"
        program = ('{{"programId": "{0}", "programName": "Program {1}", "checksum": "c{1}", "customerId": {2}, '
                   '"customerName": "Customer {2}", "valid": {3}}}')
        rows = [program.format(f"p{number:07d}", number, number % 100, "true") for number in range(count)]
        rows += [program.format(f"off{number:05d}", number, number % 100, "false") for number in range(SMALL_CACHE)]
        with open(path, "w", encoding="ascii") as file:
            file.write("[" + ",\n".join(rows) + "]")
        return path

    def write_paths(self, circle):
        lists = {
            "hot": [f"/event/p{number:07d}" for number in range(HOT)],
            "circle": [f"/event/p{number:07d}" for number in range(circle)],
            "unknown": [f"/event/u{number:07d}" for number in range(circle)],
            "wrong-type": [f"/event/p{number:07d}?type=view" for number in range(HOT)],
            "inactive": [f"/event/off{number:05d}" for number in range(SMALL_CACHE)],
        }
        for name, lines in lists.items():
            self.lists[name] = lines
            with open(self.paths(name), "w", encoding="ascii") as file:
                file.write("\n".join(lines) + "\n")

    def paths(self, name):
        return f"{self.memory}/paths-{name}"

    def read(self, name):
        return self.lists[name]
