"""`copy_and_one.py TABLES OUT`: copies every file, synced, and writes one more column of it beside, synced: the least that
adding a column to files that can't grow could take."""

import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl

POWER = sum(pl.col(f"f{axis}_1") * pl.col(f"v{axis}_1") for axis in "xyz").alias("power_1")


def synced(path):
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def add(file, out):
    copied, column = out / file.name, out / f"{file.stem}.power_1.parquet"
    shutil.copyfile(file, copied)
    synced(copied)
    read = [f"{letter}{axis}_1" for letter in "fv" for axis in "xyz"]
    pl.read_parquet(file, columns=read).select(POWER).write_parquet(column, compression="zstd", compression_level=3)
    synced(column)


if __name__ == "__main__":
    tables, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda file: add(file, out), sorted(tables.glob("*.parquet"))))
