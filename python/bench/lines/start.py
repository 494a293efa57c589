"""8: the start: `--version`, `status` on 1,000 runs, the size of the program."""

import shutil

import measure as m
import table

REPEATS = 15


def measure(bench):
    took = m.median([bench.assets("--version", cwd=bench.cache) for _ in range(REPEATS)])
    yield table.below("8 start", "assets --version", took.wall_s * 1e3, 10, "ms", str(took))
    path, _ = bench.many(1_000)
    took = m.median([bench.assets("status", cwd=path) for _ in range(REPEATS)])
    yield table.below("8 start", "assets status on 1,000 runs", took.wall_s * 1e3, 50, "ms", str(took))
    if not shutil.which("strip"):
        yield table.skipped("8 start", "stripped binary", "no `strip` here", "< 100 MB")
        return
    stripped = bench.folder("strip") / "assets"
    m.run(["strip", "-o", stripped, bench.binary])
    megabytes = stripped.stat().st_size / 1e6
    yield table.below("8 start", "stripped binary", megabytes, 100, "MB", f"{megabytes:.0f} MB")
