"""`equal.py OURS THEIRS`: whether clean, wide, features and stats hold the same rows and columns; numbers within 1e-9.

Relative to the larger of the value and the column's largest magnitude: a velocity that passes through zero has no
relative precision of its own. Prints the largest difference; says what differs and exits with 1 otherwise.
"""

import sys
from pathlib import Path

import numpy as np
import polars as pl

WITHIN = 1e-9
SORTED = {"clean": ["run_uuid", "time", "robot_id", "sensor_type", "field"], "stats": ["run_uuid"]}


def compare(table, ours, theirs):
    by = SORTED.get(table, ["run_uuid", "time"])
    ours, theirs = (pl.read_parquet(folder / table / "*.parquet").sort(by) for folder in (ours, theirs))
    if ours.schema != theirs.schema or ours.height != theirs.height:
        raise SystemExit(f"{table}: {ours.height} rows {ours.schema} against {theirs.height} rows {theirs.schema}")
    worst = 0.0
    for name, kind in ours.schema.items():
        left, right = ours[name], theirs[name]
        if not (left.is_null() == right.is_null()).all():
            raise SystemExit(f"{table}.{name}: other nulls: {left.null_count()} against {right.null_count()}")
        if kind != pl.Float64:
            if not left.eq_missing(right).all():
                raise SystemExit(f"{table}.{name} differs")
            continue
        left, right = left.drop_nulls().to_numpy(), right.drop_nulls().to_numpy()
        if len(left):
            scale = np.maximum(np.abs(left).max(), 1e-300)
            apart = float((np.abs(left - right) / np.maximum(np.abs(left), scale)).max())
            if apart > WITHIN:
                raise SystemExit(f"{table}.{name} differs by {apart:.1e}")
            worst = max(worst, apart)
    return worst


if __name__ == "__main__":
    tables = sys.argv[3:] or ["clean", "wide", "features", "stats"]
    print(f"{max(compare(table, Path(sys.argv[1]), Path(sys.argv[2])) for table in tables):.1e}")
