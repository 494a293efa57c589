"""10: growth: bytes of journal and catalog per step, and the store after 100 rebuilds with changed parameters."""

import measure as m
import table
import trivial
from bench import size

TARE = "[tare]\noffsets_n = {{ fx_1 = {}.5 }}\n"  # another force: columns of clean, wide, features and stats


def measure(bench):
    steps = 4_000
    path = bench.folder("growth")
    trivial.write(path, steps // trivial.ASSETS, 4)
    bench.assets("materialize", "-q", cwd=path)
    yield per_step(path, f"{steps:,} trivial packed steps", steps)
    bench.forget(path)
    runs = 100 if bench.quick else 1_000
    path, _ = bench.many(runs)
    yield per_step(path, f"telemetry of {runs:,} runs, 5 steps each", 5 * runs)
    yield from rebuilds(bench)


def per_step(path, name, steps):
    journal, catalog = (size(path / "warehouse" / folder) for folder in ("journal", "catalog"))
    return table.Row("10 growth", f"{name}: journal and catalog", "", f"{journal / steps:.0f} + {catalog / steps:.0f} bytes a step")


def rebuilds(bench):
    count = 10 if bench.quick else 100
    path = bench.project("rebuilds", bench.simulated(10, 10))
    settings = (path / "assets.toml").read_text()
    sizes, taken = [], []
    for number in range(count + 1):
        (path / "assets.toml").write_text(settings + TARE.format(number))
        taken.append(bench.assets("materialize", "-q", cwd=path))
        sizes.append(sizes_of(path))
    yield table.Row("10 growth", f"10 runs of 10 s, then {count} rebuilds with another tare", "", f"{shown(sizes[0])} → {shown(sizes[-1])}")
    few = max(1, count // 10)
    early, late = m.median(taken[1 : few + 1]), m.median(taken[-few:])
    ratio = late.wall_s / early.wall_s
    yield table.Row("10 growth", f"the last {few} rebuilds / the first {few}", "", f"{late} against {early}", ratio)
    took = bench.assets("gc", "--yes", "--keep", "1", "--older-than", "0s", cwd=path)
    yield table.Row("10 growth", "the store after `gc --yes --keep 1`", "", f"{shown(sizes_of(path))}; {took}")


def sizes_of(path):
    return [size(path / "warehouse" / folder) for folder in ("objects", "journal", "catalog")]


def shown(sizes):
    return "objects {:.1f}, journal {:.2f}, catalog {:.2f} MB".format(*(each / 1e6 for each in sizes))
