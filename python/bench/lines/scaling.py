"""7: two workers against one, on 64 equal runs, everything from nothing."""

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

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
    yield halves(bench, runs // 2, seconds, pair.a.wall_s)
    bench.forget(path)


def halves(bench, runs, seconds, alone_s):
    """What the machine gives: two processes of one job that share nothing but its memory and its disk."""
    paths = [bench.project(f"half-{seed}", bench.simulated(runs, seconds, seed)) for seed in (1, 2)]

    def both():
        for path in paths:
            shutil.rmtree(path / "warehouse", ignore_errors=True)
        settle()
        begun = time.perf_counter()
        with ThreadPoolExecutor(len(paths)) as pool:
            list(pool.map(lambda path: bench.assets("materialize", "-q", "--jobs", 1, cwd=path), paths))
        return time.perf_counter() - begun

    took = sorted(both() for _ in range(bench.pairs))[bench.pairs // 2]
    for path in paths:
        bench.forget(path)
    name = f"the limit: two processes of one job at once, {runs} runs each"
    shown = f"{m.seconds(took)} against {m.seconds(alone_s)}"
    return table.Row("7 scaling", name, "", shown, alone_s / took)
