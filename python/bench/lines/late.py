"""3: one late run among many: the same time however many there are.

Runs are of a second, of the telemetry pipeline; a late run is a new file, of which raw, clean and stats are made, and with
`stats` alone what is over all runs is left out. Making everything, with `fleet`, is a row of its own.
"""

import os

import measure as m
import table

SIZES = [100, 1_000, 10_000]
WITHIN = 1.2


def measure(bench):
    if bench.quick:
        sizes = SIZES[:2]
    else:
        sizes = SIZES
    first = {}
    for runs in sizes:
        path, made = bench.many(runs)
        each = f"{made.wall_s / runs * 1e3:.1f} ms a run"
        yield table.Row("3 late", f"{runs:,} runs of 1 s: making everything first", "", f"{made}; {each}")
        for what, select in (("stats", ["stats"]), ("everything, with fleet", [])):
            took = m.median([late(bench, path, select, number) for number in range(bench.pairs)])
            base = first.setdefault(what, took)
            ratio = took.wall_s / base.wall_s
            met = None if runs == sizes[0] else ratio <= WITHIN
            name = f"one late run among {runs:,}: {what} / among {sizes[0]}"
            cpu = f"cpu {took.cpu_s / base.cpu_s:.2f} ×"
            yield table.Row("3 late", name, f"≤ {WITHIN} ×", f"{took}; {cpu}", ratio, met)
    yield table.skipped("3 late", "one late run among 100,000", "making 100,000 runs first takes too long", f"≤ {WITHIN} ×")


def late(bench, path, select, number):
    """Another run comes; everything else is fresh. Then it is made whole, so that the next finds everything fresh."""
    seed = 1000 + len(list((path / "data").iterdir())) * 7 + number
    data = bench.simulated(1, 1, seed)
    os.link(data / "recording.parquet", path / "data" / f"late-{seed}.parquet")
    took = bench.assets("materialize", *select, "-q", cwd=path)
    if select:
        bench.assets("materialize", "-q", cwd=path)
    return took
