#!/usr/bin/env python3
"""Measures `assets` and sets it beside what people use today.

    cargo build --release
    python3 python/bench/run.py                     # every line: about an hour on two cores, 40 GB of disk
    python3 python/bench/run.py --only cold noop    # some lines; --list names them
    python3 python/bench/run.py --quick             # one pair of each, smaller inputs: is the benchmark itself in order?
    python3 python/bench/run.py --huge              # and 100,000 runs, which take another quarter of an hour
    python3 python/bench/run.py --write             # and write the rows into the table of BENCHMARKS.md

Inputs come from `assets simulate` and, like the yardsticks' environment, stay in a cache folder (ASSETS_BENCH_CACHE, by
default ~/.cache/assets-bench). Programs that are compared run by turns, and medians of pairs are shown, because a machine is
never quiet. A target that is missed is printed like one that is met.
"""

import argparse
import os
import shutil
import sys
import traceback
from pathlib import Path

import measure
import table
from bench import Bench, Missing
from lines import LINES

ROOT = Path(__file__).resolve().parents[2]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(LINES), metavar="NAME", help="some lines only")
    parser.add_argument("--quick", action="store_true", help="one pair each, smaller inputs")
    parser.add_argument("--huge", action="store_true", help="also 100,000 runs: a quarter of an hour, 14 GB of memory, 12 GB of disk")
    parser.add_argument("--binary", type=Path, default=ROOT / "target" / "release" / "assets")
    parser.add_argument("--write", action="store_true", help="write the rows into the table of BENCHMARKS.md")
    parser.add_argument("--list", action="store_true", help="name the lines and what they measure")
    parser.add_argument("--keep", action="store_true", help="keep the scratch folder")
    return parser.parse_args()


def measured(name, measure_line, bench):
    """The rows of a line; whatever stops it is a row as well."""
    rows = []
    try:
        for row in measure_line(bench):
            rows.append(row)
            table.show(row)
    except (Missing, measure.Failed) as error:
        rows.append(table.skipped(name, "the rest of this line", str(error)))
        table.show(rows[-1])
    except Exception:
        rows.append(table.skipped(name, "the rest of this line", traceback.format_exc(limit=-1).splitlines()[-1]))
        table.show(rows[-1])
        traceback.print_exc()
    return rows


def main():
    asked = arguments()
    if asked.list:
        for name, line in LINES.items():
            print(f"{name:<10} {line.__doc__.splitlines()[0]}")
        return 0
    binary = asked.binary.resolve()
    if not binary.exists():
        print(f"{binary} is not there: cargo build --release, or --binary PATH", file=sys.stderr)
        return 2
    cache = Path(os.environ.get("ASSETS_BENCH_CACHE", Path.home() / ".cache" / "assets-bench")).resolve()
    bench = Bench(binary, cache, asked.quick, asked.huge)
    bench.install()
    rows = []
    try:
        for name in asked.only or LINES:
            rows += measured(name, LINES[name].measure, bench)
    finally:
        if not asked.keep:
            shutil.rmtree(bench.scratch, ignore_errors=True)
    targets = [row.met for row in rows if row.met is not None]
    unmeasured = sum(row.measured == "not measured" for row in rows)
    print(f"{len(targets)} targets measured, {sum(targets)} met; {unmeasured} rows not measured; {table.machine()}")
    if asked.write:
        version = measure.run([binary, "--version"]).output.strip()
        versions = f"{version}; {bench.versions()}"
        table.write(ROOT / "BENCHMARKS.md", rows, versions, table.commit_of(ROOT), asked.quick)
    return 0


if __name__ == "__main__":
    sys.exit(main())
