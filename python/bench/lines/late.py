"""3: one late run among many: the same time however many there are.

Runs are of a second, of the telemetry pipeline; a late run is a new file, of which raw, clean and stats are made, and with
`stats` alone what is over all runs is left out. Making everything, with `fleet`, is a row of its own.
"""

import os
import time

import measure as m
import table
import trivial

SIZES = [100, 1_000, 10_000]
HUGE = [100_000]
KEYS = [(100, 1), (10_000, 4), (100_000, 40)]
WITHIN = 1.2


def measure(bench):
    if bench.quick:
        sizes = SIZES[:2]
    else:
        sizes = SIZES + HUGE * bench.huge
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
    yield from trivial_keys(bench)


def trivial_keys(bench):
    """The same of packed queries over keys of files, of which more can be made in the time."""
    base = None
    for keys, files in KEYS[: 2 if bench.quick else 3]:
        path = bench.folder(f"keys-{keys}")
        trivial.write(path, keys, files)
        time.sleep(2.1)
        made = bench.assets("materialize", "-q", cwd=path)
        each = f"{made.wall_s / keys / trivial.ASSETS * 1e6:.0f} µs a step"
        yield table.Row("3 late", f"{keys:,} keys, {trivial.ASSETS} packed steps each: making everything first", "", f"{made}; {each}")
        several = []
        for number in range(2 * bench.pairs + 1):
            (path / "data" / f"late-{number}.csv").write_text(f"key,n\nlate{number},{number}\n")
            several.append(bench.assets("materialize", "-q", cwd=path))
        took = m.median(several)
        base = base or took
        ratio = took.wall_s / base.wall_s
        met = None if base is took else ratio <= WITHIN
        name = f"one late key among {keys:,} / among {KEYS[0][0]}"
        cpu = f"cpu {took.cpu_s / base.cpu_s:.2f} ×"
        yield table.Row("3 late", name, f"≤ {WITHIN} ×", f"{took}; {cpu}", ratio, met)
        bench.forget(path)


def late(bench, path, select, number):
    """Another run comes; everything else is fresh. Then it is made whole, so that the next finds everything fresh."""
    seed = 1000 + len(list((path / "data").iterdir())) * 7 + number
    data = bench.simulated(1, 1, seed)
    os.link(data / "recording.parquet", path / "data" / f"late-{seed}.parquet")
    took = bench.assets("materialize", *select, "-q", cwd=path)
    if select:
        bench.assets("materialize", "-q", cwd=path)
    return took
