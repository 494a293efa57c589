"""5: a feature is added: against making `features` again, and against copying its bytes beside one column in polars."""

import measure as m
import table
from bench import settle

SIZES = [(200, 60), (5, 3600)]
FEATURE = '[features.power_1]\nexpr = "(fx_1 * vx_1 + fy_1 * vy_1 + fz_1 * vz_1) * {}.0"\nunit = "mW"\n'


def measure(bench):
    for runs, seconds in [(20, 60), (1, 600)] if bench.quick else SIZES:
        name = f"{runs} × {seconds} s"
        path = bench.project("feature", bench.simulated(runs, seconds))
        settings = (path / "assets.toml").read_text()
        made = bench.assets("materialize", "-q", cwd=path)
        yield table.Row("5 feature", f"{name}: making everything first", "", str(made))
        number = iter(range(1, 1000))

        objects = path / "warehouse/objects"
        written = {}

        def counted(what, build):
            """Runs a build, and notes how many bytes of tables came that were not there."""
            before = {file.name for file in objects.rglob("*.parquet")}
            took = build()
            written[what] = sum(file.stat().st_size for file in objects.rglob("*.parquet") if file.name not in before)
            return took

        def add():
            # Another constant is another column: all others are those of before.
            (path / "assets.toml").write_text(settings + FEATURE.format(next(number)))
            settle()
            return counted("added", lambda: bench.assets("materialize", "-q", cwd=path))

        def again():
            settle()
            # Encoded anew it is another file than the one that grew, so that it counts.
            return counted("forced", lambda: bench.assets("materialize", "features", "--force", "-q", cwd=path))

        pair = m.pairs(add, again, bench.pairs)
        note = f"written {written['added'] / 1e6:.0f} MB of tables against {written['forced'] / 1e6:.0f} MB"
        yield table.against("5 feature", f"{name}: power_1 added / features --force", pair, 1 / 4, note)
        out = bench.scratch / "feature-out"

        def copy():
            bench.forget(out)
            settle()
            return bench.yardstick("copy_and_one.py", path / "warehouse/tables/features", out, needs=["polars"])

        what = f"{name}: power_1 added / copy with fsync, one column in polars"
        yield table.against("5 feature", what, m.pairs(add, copy, bench.pairs), 1.5)
        bench.forget(path)
        bench.forget(out)
