#!/usr/bin/env python3
"""Counts the instructions of a small cold job and of a build with nothing to do, and fails where they have grown.

    python3 python/bench/instructions.py           # against the figures in instructions.json: more than 10 % is an error
    python3 python/bench/instructions.py --write   # the figures of now are the ones to be held

Times on a shared machine say little about a change of a few percent. Instructions, counted by `valgrind --tool=callgrind`
with one worker, say more: threads that wait for each other add some on a busy machine, never take any away, so that the
lowest of some counts is within 1 % of the last one's. They are those of one compiler: after a new one, `--write`.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FIGURES = Path(__file__).with_name("instructions.json")
ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
GROWTH_MOST = 0.10
COUNTS_MOST = 12


def call(folder, *command):
    environment = {**os.environ, "POLARS_MAX_THREADS": "1", "_RJEM_MALLOC_CONF": "narenas:1,mutex_max_spin:0"}
    done = subprocess.run([str(part) for part in command], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stderr


def counted(folder, binary, *args):
    told = call(folder, "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", binary, *args)
    return int(re.search(r"Collected : (\d+)", told).group(1))


def measure(binary):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "assets.toml").write_text('sources = ["data/*"]\n')
        call(folder, binary, "simulate", "data/a.parquet", "--runs", "2", "--seconds", "10")
        # A file that was written just now would be looked at more closely.
        os.utime(folder / "data" / "a.parquet", (1_700_000_000, 1_700_000_000))
        build = ("materialize", "--quiet", "--jobs", "1")
        cold = counted(folder, binary, *build)
        # A source is trusted after two seconds, and the build that records that leaves a seal of the world before it:
        # one holds that a further build leaves as it is.
        time.sleep(2.5)
        seal, held = folder / "warehouse" / "seal", None
        for _ in range(20):
            time.sleep(0.2)
            call(folder, binary, *build)
            before, held = held, seal.read_bytes() if seal.exists() else None
            if held and held == before:
                return {"cold": cold, "noop": counted(folder, binary, *build)}
        sys.exit("twenty builds with nothing to do, and none of them left a seal that holds")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, default=TARGET / "release" / "assets")
    parser.add_argument("--write", action="store_true", help="hold these figures from now on")
    asked = parser.parse_args()
    binary, held = asked.binary.resolve(), json.loads(FIGURES.read_text())
    found = measure(binary)
    for _ in range(1, COUNTS_MOST):
        if not asked.write and all(found[name] <= held[name] * (1 + GROWTH_MOST) for name in held):
            break
        found = {name: min(count, found[name]) for name, count in measure(binary).items()}
    if asked.write:
        FIGURES.write_text(json.dumps(found, indent=2) + "\n")
        held = found
    grown = []
    for name, count in found.items():
        growth = count / held[name] - 1
        print(f"{name}: {count:,} instructions, {growth:+.1%} against {held[name]:,}")
        grown += [name] if growth > GROWTH_MOST else []
    if grown:
        sys.exit(f"{', '.join(grown)}: more than {GROWTH_MOST:.0%} more instructions than are held in {FIGURES.name}")


if __name__ == "__main__":
    main()
