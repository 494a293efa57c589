"""The cold job by hand, in polars and numpy: `cold_polars.py SOURCE OUT` writes clean, wide, features and stats.

One process. It checks nothing that the recording does not need, keeps no record and syncs nothing.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import motion
import polars as pl

ORDER = ["time", "robot_id", "sensor_type", "field"]
STORED = dict(compression="zstd", compression_level=3, row_group_size=1 << 18, statistics=True)


def read(source):
    rows = pl.scan_parquet(source).with_columns(
        pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC", strict=False),
        pl.col("cell_id").cast(pl.String),
    )
    return rows.collect().partition_by("run_uuid", as_dict=True, maintain_order=True)


def clean(rows):
    """Valid rows, sorted, one per channel and time; differing values at one time are dropped."""
    valid = rows.filter(pl.col("time").is_not_null() & pl.col("value").is_finite())
    valid = valid.select("run_uuid", "time", "robot_id", "sensor_type", "field", "value").sort(ORDER)
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in ORDER).fill_null(False)
    if valid.select(same.any()).item():
        valid = valid.unique([*ORDER, "value"], maintain_order=True).unique(ORDER, keep="none", maintain_order=True)
    return valid


def channels(valid):
    parts = valid.partition_by("robot_id", "sensor_type", "field", as_dict=True, maintain_order=True)
    return {
        f"{field}_{robot}": (part["time"].to_physical().to_numpy(), part["value"].to_numpy())
        for (robot, _, field), part in parts.items()
    }


def column(name, values):
    """A column of a table; null throughout where it was not delivered."""
    return pl.lit(None, pl.Float64).alias(name) if values is None else pl.Series(name, values, nan_to_null=True)


def make(run_uuid, rows, out):
    valid = clean(rows)
    valid.write_parquet(out / "clean" / f"{run_uuid}.parquet", **STORED)
    run = channels(valid)
    axis = valid["time"].to_physical().unique(maintain_order=True).to_numpy()
    aligned = motion.wide(run, axis)
    native, fallback = motion.derivatives(run)
    derived = motion.features(run, axis, aligned, native)
    time = pl.Series("time", axis).cast(pl.Datetime("us", "UTC"))
    key = pl.repeat(run_uuid, len(axis), eager=True).alias("run_uuid")
    wide = pl.DataFrame([key, time]).with_columns(column(*item) for item in aligned.items())
    wide.write_parquet(out / "wide" / f"{run_uuid}.parquet", **STORED)
    features = wide.with_columns(column(*item) for item in derived.items())
    features.write_parquet(out / "features" / f"{run_uuid}.parquet", **STORED)
    cells = ",".join(sorted(rows["cell_id"].drop_nulls().unique()))
    return motion.stats(run_uuid, cells, run, axis, native, fallback, len(valid), len(rows))


def main(source, out):
    for name in ("clean", "wide", "features", "stats"):
        (out / name).mkdir(parents=True)
    runs = read(source)
    with ThreadPoolExecutor(2) as pool:
        made = pool.map(lambda item: make(item[0][0], item[1], out), runs.items())
        table = pl.DataFrame(list(made), infer_schema_length=None).select(motion.STATS)
    times = pl.col("start_time", "stop_time").cast(pl.Datetime("us", "UTC"))
    table.with_columns(times).sort("run_uuid").write_parquet(out / "stats" / "all.parquet", **STORED)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
