"""1: the whole job from nothing, against a script by hand in polars and numpy, DuckDB and pandas.

The scripts write the same rows, columns and compression as ours do for the tables that both write, and this is checked;
ours also writes raw, rejects, sessions and gaps, hashes every column, keeps records, and syncs.
"""

import shutil

import bench as setup
import measure as m
import table

TABLES = ["clean", "wide", "features", "stats"]
RIVALS = [
    ("cold_polars.py", "polars + numpy by hand", ["polars", "numpy"], 0.6),
    ("cold_duckdb.py", "DuckDB (ASOF joins), by hand", ["duckdb", "numpy", "pyarrow"], None),
    ("cold_pandas.py", "pandas + numpy by hand", ["pandas", "numpy", "pyarrow"], None),
]


def measure(bench):
    data = bench.recording()
    project = bench.project("cold", data)
    out = bench.scratch / "cold-out"

    def ours():
        shutil.rmtree(project / "warehouse", ignore_errors=True)
        setup.settle()
        return bench.assets("materialize", *TABLES, "-q", cwd=project)

    for script, name, needs, most in RIVALS:
        def theirs():
            shutil.rmtree(out, ignore_errors=True)
            setup.settle()
            return bench.yardstick(script, data / "recording.parquet", out, needs=needs)

        what = f"4 runs, 1.58 million rows, empty store: assets / {name}"
        try:
            pair = m.pairs(ours, theirs, bench.pairs)
            apart = bench.yardstick("equal.py", project / "warehouse" / "tables", out).output.strip()
            wrote = [setup.size(folder) for folder in (project / "warehouse" / "objects", out)]
            note = f"equal within {apart}; written {wrote[0] / 1e6:.0f} MB against {wrote[1] / 1e6:.0f} MB"
            yield table.against("1 cold", what, pair, most, note)
        except (m.Failed, setup.Missing) as error:
            yield table.skipped("1 cold", what, str(error), f"≤ {most} ×" if most else "")
    bench.forget(project)
    bench.forget(out)
