"""What Deploy/torture runs: the schedule, what it does to the machines, and the books at the end.

The load generator notes the messageId of every accepted answer. When the time is over, all faults end, the journal drains,
the service is stopped, and the sinks are read by this program itself. The last lines are `accepted`, `stored` (in every
sink), `duplicates` (of the sink that has most) and `lost` (accepted, but not in every sink); the exit status is 0 only with nothing lost, every stop clean and
every start unaided. As root the journal and the files get small file systems of their own, which fill up; others do
without that.
"""
import argparse
import random
import signal
import sys
import threading
import time

sys.dont_write_bytecode = True

from disks import Disk, Workspace  # noqa: E402
from processes import Failure, Load, RedisServer, Service, binary  # noqa: E402
from sinks import available, make_sinks  # noqa: E402


def say(text):
    print(text, flush=True)


class Torture:
    """The machines, and everything that is done to them."""

    def __init__(self, options):
        self.options = options
        self.trouble = []
        self.work = Workspace(options.keep)
        self.journal_disk = Disk(self.work.path("disk"), 160 << 20)
        self.redis = RedisServer(self.work.path("redis"))
        self.redis.start()
        self.sinks = make_sinks(options.sinks, self.work, self.redis)
        arguments = [
            "--journal", self.journal_disk.path + "/journal", "--journal-max-bytes", "128MiB",
            "--durability", options.durability, "--redis", self.redis.url, "--redis-timeout", "250ms",
        ]
        for sink in self.sinks:
            arguments += ["--sink", sink.address]
        self.service = Service(options.binary, arguments, self.work.path("service.log"), self.slow)
        self.load = Load(options.binary, self.service, options.rate, self.work.path("accepted"))
        self.counts = {}
        self.began = time.monotonic()
        self.lock = threading.Lock()

    def setup(self):
        self.redis.import_programs(self.options.binary, self.work.path("programs.json"))
        self.service.start()
        self.load.start()

    def slow(self, what, seconds):
        """Tells of what took longer than it should."""
        with self.lock:
            say(f"{time.monotonic() - self.began:7.1f} s  {what} took {seconds:.1f} s")

    # What is done to the service, one thing after the other.

    def life(self, random_source):
        return random_source.choices(
            [("kill -9", self.kill), ("SIGTERM", self.stop), ("restart", self.restart)], weights=[5, 2, 2]
        )[0]

    def kill(self, random_source):
        self.service.kill()
        if self.options.plant:
            self.journal_disk.remove_newest("journal", ".seg")
        time.sleep(random_source.choice([0, 0, 0.2, 1.5]))
        self.service.start()

    def stop(self, random_source):
        self.ended(self.service.stop())
        time.sleep(random_source.uniform(0.5, 2))
        self.service.start()

    def restart(self, _):
        self.ended(self.service.stop())
        self.service.start()

    def ended(self, status):
        if status != 0:
            self.trouble.append(f"a SIGTERM ended with status {status}")

    # What is done around it meanwhile.

    def faults(self):
        found = [("Redis stopped", self.stop_redis), ("Redis hangs", self.hang_redis)]
        for sink in self.sinks:
            found += sink.faults()
        if self.journal_disk.can_fill:
            found.append(("full disk", self.fill_disk))
        return found

    def stop_redis(self, random_source):
        self.redis.stop()
        time.sleep(random_source.uniform(0.5, 4))
        self.redis.start()

    def hang_redis(self, random_source):
        self.redis.process.send_signal(signal.SIGSTOP)
        time.sleep(random_source.uniform(0.2, 3))
        self.redis.process.send_signal(signal.SIGCONT)

    def fill_disk(self, random_source):
        self.journal_disk.fill()
        time.sleep(random_source.uniform(1, 4))
        self.journal_disk.free()

    # The schedule.

    def track(self, choose, pause, random_source, until):
        """Does one thing after another; what and when depends on the seed alone, how it meets the rest on the machine."""
        try:
            while time.monotonic() + 1 < until:
                time.sleep(random_source.uniform(*pause))
                if time.monotonic() >= until:
                    return
                name, action = choose(random_source)
                with self.lock:
                    self.counts[name] = self.counts.get(name, 0) + 1
                    say(f"{time.monotonic() - self.began:7.1f} s  {name}")
                action(random_source)
        except Exception as error:  # pylint: disable=broad-except
            self.trouble.append(str(error))

    def run(self):
        seconds = self.options.minutes * 60
        self.began = time.monotonic()
        until = self.began + seconds
        faults = self.faults()
        tracks = [
            (self.life, (1.5, 5)),
            (lambda source: source.choice(faults), (0.5, 3)),
        ]
        threads = []
        for number, track in enumerate(tracks):
            source = random.Random(f"{self.options.seed}-{number}")
            threads.append(threading.Thread(target=self.track, args=(*track, source, until), daemon=True))
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads) or time.monotonic() < until:
            time.sleep(0.2)
            if not self.load.is_running:
                self.trouble.append("the load generator ended early")
                break
            if time.monotonic() > until + 120:
                self.trouble.append("a fault did not end")
                break

    # The end.

    def settle(self):
        """Everything works again: nothing more comes in, everything goes out."""
        self.journal_disk.free()
        for sink in self.sinks:
            sink.heal()
        self.load.stop()
        if not self.service.is_running:
            self.trouble.append("the service had ended by itself: " + self.service.last_words())
            self.service.start()
        if not self.service.drain(within=120):
            self.trouble.append(f"the journal did not drain: {self.service.ledger()}")
        dropped = self.service.ledger()["journal"]["dropped"]
        if dropped and not self.options.plant:
            self.trouble.append(f"the journal says it dropped {dropped}")
        self.ended(self.service.stop())

    def books(self):
        accepted = self.load.accepted()
        say("")
        say(f"{'sink':30} {'stored':>10} {'duplicates':>10} {'lost':>6}")
        everywhere, duplicates = None, 0
        for sink in self.sinks:
            ids = sink.stored()
            stored = set(ids)
            missing = accepted - stored
            say(f"{sink.name:30} {len(stored):10} {len(ids) - len(stored):10} {len(missing):6}")
            everywhere = stored if everywhere is None else everywhere & stored
            duplicates = max(duplicates, len(ids) - len(stored))
        lost = len(accepted - everywhere)
        kills = self.service.kills
        say("")
        say("done       " + ", ".join(f"{count} x {name}" for name, count in sorted(self.counts.items())))
        starts = sorted(self.service.starts)
        say(f"starts     {len(starts)}, the median took {starts[len(starts) // 2]:.2f} s, the longest {starts[-1]:.2f} s")
        if kills:
            say(f"kills      {kills}, at most {duplicates / kills:.0f} duplicates each in a sink; "
                f"2 s of traffic are {2 * self.options.rate}")
        for sentence in self.trouble:
            say("trouble    " + sentence)
        say(f"accepted {len(accepted)}\nstored {len(everywhere)}\nduplicates {duplicates}\nlost {lost}")
        return lost == 0 and bool(accepted) and not self.trouble

    def close(self):
        for process in (self.load, self.service, self.redis):
            process.end()
        for sink in self.sinks:
            sink.close()
        self.journal_disk.close()
        self.work.close()


def options():
    parser = argparse.ArgumentParser(
        prog="Deploy/torture", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=3.0, help="how long, as a decimal (3)")
    parser.add_argument("--seed", type=int, help="of the schedule (a random one, printed)")
    parser.add_argument("--rate", type=int, default=1000, help="requests a second (1000)")
    parser.add_argument("--sinks", help="of file,redis,kinesis (those that the program knows)")
    parser.add_argument("--durability", default="fsync", choices=["fsync", "write", "memory"], help="of the service (fsync)")
    parser.add_argument("--plant", action="store_true", help="lose a part of the journal after each kill")
    parser.add_argument("--keep", action="store_true", help="leave the data for a look")
    parsed = parser.parse_args()
    if not 0 < parsed.minutes <= 10_000 or not 0 < parsed.rate <= 1_000_000:
        parser.error("--minutes and --rate must be more than nothing")
    parsed.binary = binary()
    parsed.sinks = parsed.sinks.split(",") if parsed.sinks else available(parsed.binary)
    for sink in parsed.sinks:
        if sink not in ("file", "redis", "kinesis"):
            parser.error(f"there is no sink {sink}")
    if parsed.seed is None:
        parsed.seed = random.randrange(1 << 31)
    return parsed


def main():
    chosen = options()
    say(f"seed       {chosen.seed}\nminutes    {chosen.minutes}\nsinks      {', '.join(chosen.sinks)}\n"
        f"durability {chosen.durability}")
    torture = None
    try:
        torture = Torture(chosen)
        torture.setup()
        torture.run()
        torture.settle()
        return 0 if torture.books() else 1
    except Failure as failure:
        print(f"Deploy/torture: {failure}", file=sys.stderr)
        return 1
    finally:
        if torture:
            torture.close()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
