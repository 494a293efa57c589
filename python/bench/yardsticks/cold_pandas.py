"""The cold job by hand, in pandas and numpy: `cold_pandas.py SOURCE OUT` writes clean, wide, features and stats."""

import sys
from pathlib import Path

import motion
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

ORDER = ["time", "robot_id", "sensor_type", "field"]
COLUMNS = ["time", "value", "field", "robot_id", "run_uuid", "sensor_type", "cell_id"]


def write(path, columns):
    """`run_uuid` is a dictionary in the file alone; None is a column without values."""
    columns = {
        name: pa.nulls(len(columns["time"]), pa.float64()) if values is None else values
        for name, values in columns.items()
    }
    table = pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})
    table = table.set_column(table.schema.get_field_index("time"), "time", table["time"].cast(pa.timestamp("us", "UTC")))
    pq.write_table(table, path, compression="zstd", compression_level=3, row_group_size=1 << 18,
                   use_dictionary=[n for n in ("run_uuid", "sensor_type", "field", "robot_id") if n in columns])


def make(run_uuid, rows, out):
    valid = rows[rows["time"].notna() & np.isfinite(rows["value"])].sort_values(ORDER)
    twice = valid.duplicated(ORDER, keep=False)
    if twice.any():
        valid = valid.drop_duplicates([*ORDER, "value"]).drop_duplicates(ORDER, keep=False)
    order = ["run_uuid", "time", "robot_id", "sensor_type", "field", "value"]
    names = {name: valid[name].to_numpy() for name in order}
    names["time"] = valid["time"].astype("int64").to_numpy()
    names["sensor_type"] = pa.array(valid["sensor_type"]).cast(pa.string())
    names["field"] = pa.array(valid["field"]).cast(pa.string())
    write(out / "clean" / f"{run_uuid}.parquet", names)
    run = {
        f"{field}_{robot}": (part["time"].astype("int64").to_numpy(), part["value"].to_numpy())
        for (robot, _, field), part in valid.groupby(["robot_id", "sensor_type", "field"], observed=True)
    }
    axis = np.unique(valid["time"].astype("int64").to_numpy())
    aligned = motion.wide(run, axis)
    native, fallback = motion.derivatives(run)
    derived = motion.features(run, axis, aligned, native)
    head = {"run_uuid": [run_uuid] * len(axis), "time": axis}
    write(out / "wide" / f"{run_uuid}.parquet", {**head, **aligned})
    write(out / "features" / f"{run_uuid}.parquet", {**head, **aligned, **derived})
    cells = ",".join(sorted(rows["cell_id"].dropna().astype(str).unique()))
    return motion.stats(run_uuid, cells, run, axis, native, fallback, len(valid), len(rows))


def main(source, out):
    for name in ("clean", "wide", "features", "stats"):
        (out / name).mkdir(parents=True)
    rows = pq.read_table(source, columns=COLUMNS).to_pandas()
    rows["time"] = pd.to_datetime(rows["time"], format="ISO8601", utc=True).astype("datetime64[us, UTC]")
    rows[["field", "sensor_type"]] = rows[["field", "sensor_type"]].astype("category")
    table = [make(run_uuid, part, out) for run_uuid, part in rows.groupby("run_uuid", sort=False)]
    columns = {name: [row[name] for row in table] for name in motion.STATS}
    text, times = ("run_uuid", "cell_id"), ("start_time", "stop_time")
    whole = [n for n in motion.STATS if n.endswith("_samples") or n.startswith("central_") or n in ("sessions", "gaps")]
    kinds = {**dict.fromkeys(text, pa.string()), **dict.fromkeys(times, pa.timestamp("us", "UTC")), **dict.fromkeys(whole, pa.int64())}
    arrays = {name: pa.array(values, kinds.get(name, pa.float64())) for name, values in columns.items()}
    pq.write_table(pa.table(arrays), out / "stats" / "all.parquet", compression="zstd", compression_level=3)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
