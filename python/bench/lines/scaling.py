"""7: two workers against one, on 64 equal runs, everything from nothing."""

import os
import shutil

import measure as m
import table
from bench import settle

LEAST = 1.8


def measure(bench):
    runs, seconds = (64, 10) if bench.quick else (64, 60)
    path = bench.project("scaling", bench.simulated(runs, seconds))

    def jobs(count):
        def run():
            shutil.rmtree(path / "warehouse", ignore_errors=True)
            settle()
            return bench.assets("materialize", "-q", "--jobs", count, cwd=path)
        return run

    name = f"{runs} runs of {seconds} s: --jobs 1 / --jobs 2"
    if (os.cpu_count() or 1) < 2:
        yield table.skipped("7 scaling", name, "one core", f"≥ {LEAST} ×")
        return
    pair = m.pairs(jobs(1), jobs(2), bench.pairs)
    used = f"cores busy: {pair.a.cpu_s / pair.a.wall_s:.2f} with one, {pair.b.cpu_s / pair.b.wall_s:.2f} with two"
    yield table.Row("7 scaling", name, f"≥ {LEAST} ×", str(pair), pair.wall, pair.wall >= LEAST, used)
    bench.forget(path)
