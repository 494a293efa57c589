"""9: `stats` of many runs, by `assets sql` and by DuckDB over the published files."""

import os

import measure as m
import table
from bench import Missing

SQL = "select cell_id, count(*) as n, avg(distance_mm) as way, max(v1_peak_mm_s) as fastest from {} group by cell_id order by n"


def measure(bench):
    for runs in [1_000] if bench.quick else [10_000, 100_000] if bench.huge else [10_000]:
        yield from queries(bench, runs)
    if not bench.huge:
        yield table.skipped("9 query", "stats of 100,000 runs", "with --huge: making 100,000 runs takes a quarter of an hour", "< 1 s")


def queries(bench, runs):
    path, made = bench.many(runs)
    files = list((path / "warehouse/tables/stats").glob("*.parquet"))
    size = sum(file.stat().st_size for file in files)
    held = f"{len(files)} files, {size / 1e6:.1f} MB"
    ours = lambda: bench.assets("sql", SQL.format("stats"), cwd=path)  # noqa: E731
    took = m.median([ours() for _ in range(2 * bench.pairs + 1)])
    yield table.below("9 query", f"assets sql over stats of {runs:,} runs", took.wall_s, 1, "s", f"{took}; {held}")
    sql = SQL.format("read_parquet($files)")
    try:
        theirs = lambda: bench.yardstick("duck.py", path / "warehouse/tables/stats/*.parquet", sql, needs=["duckdb"])  # noqa: E731
        took = m.median([theirs() for _ in range(2 * bench.pairs + 1)])
        query = took.output.split()[-1]
        shown = f"{took}; the query alone {query} s"
        yield table.below("9 query", f"DuckDB over stats of {runs:,} runs, Python's start included", took.wall_s, 1, "s", shown)
    except Missing as error:
        yield table.skipped("9 query", f"DuckDB over stats of {runs:,} runs", str(error), "< 1 s")
    # Published tables are further names of objects, and no further bytes.
    sizes = {}
    count = 0
    for folder, _, names in os.walk(path / "warehouse"):
        for name in names:
            found = os.stat(os.path.join(folder, name))
            sizes[found.st_ino] = found.st_size
            count += 1
    shown = f"{made}; {count:,} names of {len(sizes):,} files, {sum(sizes.values()) / 1e6:,.0f} MB"
    yield table.Row("9 query", f"what {runs:,} runs of 1 s cost, all tables", "", shown)
