"""The results of a run: a table of medians and of ratios within a round, the machine, and a plot."""
import json
import statistics
from html import escape

from cases import PEAK_CONNECTIONS, PLACES

# Ratios that have a budget: the case, beside which, the most it may be, in words.
BUDGETS = [
    ("hit", "nginx", 1.15, "hit, `write` ÷ nginx"),
    *(
        (f"fsync-{connections}-{place}", f"write-{connections}-{place}", budget if place == "1" else None,
         f"`fsync` ÷ `write`, {connections} connections, {words}")
        for place, (_, _, words) in PLACES.items() for connections, budget in ((64, 1.4), (256, 1.15))
    ),
    *(
        (f"{durability}-{connections}-{place}", f"{durability}-{connections}-1", 1.1,
         f"{words} ÷ 1 loop, `{durability}`, {connections} connections")
        for place, (loops, _, words) in PLACES.items() if loops == 2
        for durability in ("write", "fsync") for connections in (64, 256)
    ),
    *(
        (f"fsync-128-{place}", "fsync-64-1", 1.1, f"{words}, 128 connections ÷ 1 loop, 64 connections, `fsync`: the same load a loop")
        for place, (loops, _, words) in PLACES.items() if loops == 2
    ),
    ("nginx-2", "nginx", None, "2 workers of nginx on two cores ÷ 1 worker, 64 connections"),
]
# ms, ms, MiB.
P99_BUDGETS = {"latency": 2.0, "latency-sink-down": 4.0, "latency-replay": 4.0}
START_BUDGET, MEMORY_BUDGET = 100.0, 64.0
MIB = 1 << 20


class Figures:
    """The kept measurements by case and round."""

    def __init__(self, rows):
        self.rows = {}
        for row in rows:
            if row["kept"]:
                self.rows.setdefault(row["case"], {})[row["round"]] = row

    def has(self, case):
        return case in self.rows

    def values(self, case, name):
        return [row[name] for row in self.rows[case].values()]

    def median(self, case, name):
        return statistics.median(self.values(case, name))

    def spread(self, case, name):
        """Of the rounds, if there are several."""
        values = self.values(case, name)
        return f"{(max(values) - min(values)) / statistics.median(values):.0%}" if len(values) > 1 else "–"

    def disturbed(self, case):
        """Rounds that stayed disturbed, of how many; with the worst share of a core."""
        rows = self.rows[case].values()
        count = sum(row["disturbed"] for row in rows)
        return f"{count} of {len(rows)} (≤ {max(row['others'] for row in rows):.0%})" if count else f"0 of {len(rows)}"

    def late(self, case):
        """The share of requests that the load sent more than 1 ms late: they wait in the load, not in the service."""
        return sum(self.values(case, "late")) / sum(self.values(case, "answers"))

    def calm(self, *cases):
        """Whether there is a round in which none of the cases was disturbed."""
        rounds = set.intersection(*(
            {number for number, row in self.rows[case].items() if not row["disturbed"]} for case in cases
        ))
        return bool(rounds)

    def ratio(self, case, beside, name="cpuPerRequest"):
        """The median of the ratios within a round, or None."""
        if not (self.has(case) and self.has(beside)):
            return None
        both = self.rows[case].keys() & self.rows[beside].keys()
        return statistics.median(self.rows[case][r][name] / self.rows[beside][r][name] for r in both) if both else None


def two(value):
    return "–" if value is None else f"{value:.2f}"


def verdict(value, most, calm, unit=""):
    """Met or not, if at least one round was quiet enough to tell."""
    if most is None:
        return "–"
    if not calm:
        return f"{most:g}{unit}: undecided, every round was disturbed"
    return f"{most:g}{unit}: " + ("met" if value <= most else "**not met**")


def closed_table(cases, figures):
    yield "| case | µs of CPU a request | spread | ÷ nginx | ÷ | requests/s | RSS MiB | disturbed rounds |"
    yield "|---|--:|--:|--:|---|--:|--:|---|"
    for case in cases:
        if case.kind != "closed" or not figures.has(case.name):
            continue
        beside = "" if case.beside in ("", "nginx") else f"{two(figures.ratio(case.name, case.beside))} {case.beside}"
        yield (
            f"| `{case.name}`: {case.says} | {figures.median(case.name, 'cpuPerRequest'):.2f} | "
            f"{figures.spread(case.name, 'cpuPerRequest')} | {two(figures.ratio(case.name, 'nginx'))} | {beside} | "
            f"{figures.median(case.name, 'requestsPerSecond'):,.0f} | "
            f"{figures.median(case.name, 'residentBytes') / MIB:.0f} | {figures.disturbed(case.name)} |"
        )


def ratio_table(figures):
    rows = [
        (words, figures.ratio(case, beside), most, figures.calm(case, beside))
        for case, beside, most, words in BUDGETS if figures.has(case) and figures.has(beside)
    ]
    rows = [row for row in rows if row[1] is not None]
    if rows:
        yield from ("", "| ratio of CPU a request, within a round | median | budget |", "|---|--:|---|")
        for words, value, most, calm in rows:
            yield f"| {words} | {value:.2f} | {verdict(value, most, calm)} |"


def latency_table(cases, figures, about):
    shown = [case for case in cases if case.kind == "open" and figures.has(case.name)]
    if not shown:
        return
    yield ""
    yield (
        f"Open loop, {PEAK_CONNECTIONS} connections, a share of the requests/s of `{about['peak']}` in the same round, by `adtrack load`; "
        "what it sent more than 1 ms late counts as slow:"
    )
    yield ""
    yield "| case | rate | p50 ms | p99 ms | p99.9 ms | spread of p99 | sent late | budget of p99 | disturbed rounds |"
    yield "|---|--:|--:|--:|--:|--:|--:|---|---|"
    for case in shown:
        most = P99_BUDGETS.get(case.name)
        p50, p99, p999 = (figures.median(case.name, name) for name in ("p50Ms", "p99Ms", "p999Ms"))
        yield (
            f"| `{case.name}`: {case.says} | {figures.median(case.name, 'targetRate'):,.0f} | {p50:.2f} | {p99:.2f} | "
            f"{p999:.2f} | {figures.spread(case.name, 'p99Ms')} | {figures.late(case.name):.1%} | "
            f"{verdict(p99, most, figures.calm(case.name), ' ms')} | "
            f"{figures.disturbed(case.name)} |"
        )


def once_table(cases, figures):
    rows = []
    for case in cases:
        if not figures.has(case.name):
            continue
        if case.kind == "start":
            took = figures.median(case.name, "startMs")
            rows.append((case.says, f"{took:.0f} ms", verdict(took, START_BUDGET, figures.calm(case.name), " ms"), case.name))
        if case.kind == "memory":
            # Memory does not depend on what else the machine does.
            empty, full, after = (
                figures.median(case.name, name) / MIB for name in ("emptyBytes", "programsBytes", "randomBytes")
            )
            rows.append(("resident, one loop, nothing in memory", f"{empty:.0f} MiB", "–", case.name))
            rows.append(("resident, one loop, 100,000 programs", f"{full:.0f} MiB",
                         verdict(full, MEMORY_BUDGET, True, " MiB"), case.name))
            rows.append(("the same after 1,000,000 random ids", f"{after:.0f} MiB", "–", case.name))
    if rows:
        yield from ("", "| what | median | budget | disturbed rounds |", "|---|--:|---|---|")
        for says, value, budget, name in rows:
            yield f"| {says} | {value} | {budget} | {figures.disturbed(name)} |"


def rounds(about):
    return f"{about['rounds']} round{'s' * (about['rounds'] > 1)} of {about['seconds']} s"


def machine_lines(about):
    yield (
        f"{about['date']}, {about['cores']} cores of {about['cpu']}, {about['memoryGiB']} GiB, {about['system']}, "
        f"Linux {about['kernel']}; journals on {about['disk']} where it says disk, else {about['memoryDisk']}; "
        f"nginx {about['nginx']}, Redis {about['redis']}, wrk {about['wrk']}. "
        f"{rounds(about)}, one event loop and 64 connections unless it says otherwise, "
        f"bodies of {about['bodyBytes']} bytes."
    )
    yield ""


def notes(rows, about):
    kept = [row for row in rows if row["kept"]]
    marked = [row for row in kept if row["disturbed"]]
    yield ""
    yield (
        f"{len(kept)} measurements were kept and {len(rows) - len(kept)} repeated because others used more than 5 % of a core "
        f"(with what the hypervisor took); {len(marked)} of those kept are disturbed even so."
    )
    for round_ in sorted({row["round"] for row in marked}):
        names = ", ".join(f"`{row['case']}` {row['others']:.0%}" for row in marked if row["round"] == round_)
        yield f"Disturbed in round {round_}: {names}."
    yield ""
    block = max((1e6 * row["blockCPU"] / row["answers"] for row in kept if "cpuPerRequest" in row), default=0)
    yield (
        "CPU is what the kernel books on all threads of the server, the delivery to its sink included, but not the time of its own "
        f"threads that bring blocks to the disk, which was {block:.2f} µs a request at most. The server is alone on "
        "CPU 0, wrk or `adtrack load` and Redis are on CPU 1"
        + ("; of two cores the server shares CPU 1 with them." if about["cores"] == 2
           else "; two cores are CPU 0 and 1, and the load has CPU 2.")
        + (f" All of them run at nice {about['nice']}, ahead of other processes; the Redis of `latency-replay` behind all." if about["nice"] < 0 else "")
        + " Sinks are files in memory unless it says otherwise. nginx sends what adtrack sends, and `Server` and "
        "`Connection` besides. Spread is (largest - smallest) ÷ median of the rounds; ÷ is the median of the ratios within a round."
    )


def write_report(out, about, cases, rows, wrong):
    figures = Figures(rows)
    with open(out + "/machine.json", "w", encoding="utf-8") as file:
        file.write(json.dumps(about, indent=2) + "\n")
    lines = [
        *machine_lines(about), *closed_table(cases, figures), *ratio_table(figures),
        *latency_table(cases, figures, about), *once_table(cases, figures), *notes(rows, about),
    ]
    for name, sentence in wrong.items():
        lines += ["", f"**Wrong:** `{name}`, {sentence}"]
    with open(out + "/results.md", "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    with open(out + "/cost.svg", "w", encoding="utf-8") as file:
        file.write(plot(about, cases, figures))


def plot(about, cases, figures):
    """Bars of CPU a request with nginx as a line through them, and the rounds as dots."""
    shown = [case for case in cases if case.kind == "closed" and figures.has(case.name)]
    left, width, row, top = 176, 560, 24, 78
    largest = max((max(figures.values(case.name, "cpuPerRequest")) for case in shown), default=1)
    step = next(size for size in (1, 2, 5, 10, 20, 50, 100, 1000) if largest / size <= 12)
    scale = width / (largest * 1.06)
    height = top + row * len(shown) + 44
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 820 {height}" width="820" height="{height}" '
        'font-family="DejaVu Sans, Verdana, sans-serif" font-size="12">',
        f'<rect width="820" height="{height}" fill="white"/>',
        '<text x="16" y="26" font-size="16" font-weight="bold">CPU of the server, µs a request</text>',
        f'<text x="16" y="45" fill="#555">{escape(about["date"])}, {about["cores"]} cores of {escape(about["cpu"])}; '
        f'{rounds(about)}</text>',
        f'<text x="804" y="{height - 12}" text-anchor="end" fill="#555">bars are medians, dots rounds, hollow ones disturbed</text>',
    ]
    bottom = top + row * len(shown)
    for tick in range(int(largest * 1.06 / step) + 1):
        x = left + tick * step * scale
        parts.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle" fill="#555">{tick * step}</text>')
    for number, case in enumerate(shown):
        y = top + number * row
        value = figures.median(case.name, "cpuPerRequest")
        colour = "#8a8f98" if case.server == "nginx" else "#2f6db5"
        parts.append(f'<text x="{left - 8}" y="{y + 16}" text-anchor="end">{escape(case.name)}</text>')
        parts.append(f'<rect x="{left}" y="{y + 4}" width="{value * scale:.1f}" height="16" fill="{colour}"/>')
        parts.append(f'<text x="{left + 6}" y="{y + 16}" fill="white" font-weight="bold">{value:.1f}</text>')
        for measured in figures.rows[case.name].values():
            fill = "white" if measured["disturbed"] else "#f2a900"
            x = left + measured["cpuPerRequest"] * scale
            parts.append(f'<circle cx="{x:.1f}" cy="{y + 12}" r="3.5" fill="{fill}" stroke="#6b4a00"/>')
    if figures.has("nginx"):
        x = left + figures.median("nginx", "cpuPerRequest") * scale
        parts.append(f'<line x1="{x:.1f}" y1="{top - 6}" x2="{x:.1f}" y2="{bottom}" stroke="#c0392b" stroke-dasharray="5 3"/>')
        parts.append(f'<text x="{x:.1f}" y="{top - 10}" text-anchor="middle" fill="#c0392b">nginx, no tracking</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
