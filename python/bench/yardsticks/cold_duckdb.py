"""The cold job by hand, in DuckDB's SQL: `cold_duckdb.py SOURCE OUT` writes clean, wide, features and stats.

Alignment is two ASOF joins per channel; a derivative is a join with the fit's weights, which numpy finds once. `stats` is
made of the same tables; the dead band, which is sequential, is numpy's.
"""

import sys
from pathlib import Path

import duckdb
import motion
import numpy as np
import pyarrow as pa

STORED = "(format parquet, compression zstd, compression_level 3, row_group_size 262144)"
PERIOD_US = 12_000


def weight_table():
    """Weights by the sample's place in its window of 21 and by the place of the sample that is read."""
    size = 2 * int(motion.WINDOW_US // 2 // PERIOD_US) + 1
    at = np.arange(size) * PERIOD_US / 1e6
    rows = [(place, j, v, a) for place in range(size) for j, (v, a) in enumerate(zip(*motion.weights(at - at[place])))]
    place, j, v, a = zip(*rows)
    return size, pa.table({"place": place, "j": j, "v": v, "a": a})


def aligned(axis, samples, name, value="value", derived=False):
    """SQL of one channel at every time of `axis`."""
    held = "null" if derived else "coalesce(l.value, r.value)"
    return f"""
      create or replace temp table {name} as
      select a.time, case when l.time = a.time then l.value
               when l.time is null or r.time is null then {held}
               else l.value + (r.value - l.value) * ((epoch_us(a.time) - epoch_us(l.time)) / (epoch_us(r.time) - epoch_us(l.time)))
             end as value
      from {axis} a
      asof left join (select time, {value} as value from {samples}) l on a.time >= l.time
      asof left join (select time, {value} as value from {samples}) r on a.time <= r.time"""


def make(db, run_uuid, out, size):
    key = run_uuid.replace("'", "''")
    db.execute(f"""
      create or replace temp table clean as
      select run_uuid, time, robot_id, sensor_type, field, min(value) as value
      from rows where run_uuid = '{key}' and time is not null and isfinite(value)
      group by all having min(value) = max(value)
      order by time, robot_id, sensor_type, field""")
    db.execute(f"copy (select * from clean order by time, robot_id, sensor_type, field) to '{out}/clean/{key}.parquet' {STORED}")
    db.execute("create or replace temp table axis as select distinct time from clean order by time")
    there = {f"{f}_{r}" for r, f in db.execute("select distinct robot_id, field from clean").fetchall()}
    run = {}
    for name in there:
        field, robot = name.split("_")
        db.execute(f"""create or replace temp table s_{name} as
          select row_number() over (order by time) - 1 as i, time, value
          from clean where robot_id = {robot} and field = '{field}' order by time""")
        ts, vs = db.execute(f"select epoch_us(time) as t, value from s_{name} order by i").fetchnumpy().values()
        run[name] = (np.asarray(ts), np.asarray(vs))
        db.execute(aligned("axis", f"s_{name}", f"w_{name}"))
    native, fallback = {}, {robot: None for robot in motion.ROBOTS}
    for name in sorted(there):
        if name[0] == "f":
            continue
        n = len(run[name][0])
        db.execute(f"""create or replace temp table d_{name} as
          with c as (select *, least(greatest(i - {size // 2}, 0), {n - size}) as start from s_{name})
          select c.i, any_value(c.time) as time, sum(w.v * (s.value - c.value)) as v, sum(w.a * (s.value - c.value)) as a
          from c join weights w on w.place = c.i - c.start join s_{name} s on s.i = c.start + w.j
          group by c.i order by c.i""")
        v, a = db.execute(f"select v, a from d_{name} order by i").fetchnumpy().values()
        native[name] = (np.asarray(v), np.asarray(a))
        fallback[int(name[-1])] = 0
        for letter in "va":
            db.execute(aligned("axis", f"d_{name}", f"w_{letter}{name}", letter, derived=True))
    derived = {name: name in there for name in motion.WIDE}
    for letter in "va":
        derived |= {f"{letter}{axis}_{robot}": f"{axis}_{robot}" in there for robot in (1, 2) for axis in "xyz"}
    of = lambda name: f"w_{name}.value" if derived[name] else "null::double"  # noqa: E731
    joins = "".join(f" join w_{name} using (time)" for name, known in derived.items() if known)
    db.execute(f"""create or replace temp table wide_all as select '{key}' as run_uuid, axis.time,
      {', '.join(f'{of(name)} as {name}' for name in derived)} from axis{joins} order by axis.time""")
    norm = lambda letter, robot: "sqrt({0}x_{1}*{0}x_{1} + {0}y_{1}*{0}y_{1} + {0}z_{1}*{0}z_{1}) as {0}{1}".format(letter, robot)  # noqa: E731
    more = []
    for letter in "va":
        more += [f"{letter}{axis}_{robot}" for robot in (1, 2) for axis in "xyz"] + [norm(letter, 1), norm(letter, 2)]
    wide = ", ".join(motion.WIDE)
    db.execute(f"copy (select run_uuid, time, {wide} from wide_all order by time) to '{out}/wide/{key}.parquet' {STORED}")
    db.execute(f"""copy (select run_uuid, time, {wide}, {', '.join(more)}, {norm('f', 1)}, {norm('f', 2)}
      from wide_all order by time) to '{out}/features/{key}.parquet' {STORED}""")
    [(rows, cells)] = db.execute(f"select count(*), string_agg(distinct cell_id::text, ',') from rows where run_uuid = '{key}'").fetchall()
    [(valid,)] = db.execute("select count(*) from clean").fetchall()
    axis = np.unique(np.concatenate([ts for ts, _ in run.values()]))
    return motion.stats(run_uuid, cells, run, axis, native, fallback, valid, rows)


def main(source, out):
    for name in ("clean", "wide", "features", "stats"):
        (out / name).mkdir(parents=True)
    db = duckdb.connect()
    db.execute("set timezone = 'UTC'; set preserve_insertion_order = true")
    size, weights = weight_table()
    db.register("weights_arrow", weights)
    db.execute("create temp table weights as from weights_arrow")
    db.execute(f"create temp table rows as select * replace (time::timestamptz as time) from '{source}'")
    runs = [run for run, in db.execute("select run_uuid from rows group by all order by min(rowid)").fetchall()]
    table = [make(db, run, out, size) for run in runs]
    times, whole = ("start_time", "stop_time"), ("sessions", "gaps")
    kinds = {"run_uuid": pa.string(), "cell_id": pa.string(), **dict.fromkeys(times, pa.timestamp("us", "UTC"))}
    integer = lambda name: name.endswith("_samples") or name.startswith("central_") or name in whole  # noqa: E731
    kind = lambda name: kinds.get(name, pa.int64() if integer(name) else pa.float64())  # noqa: E731
    db.register("stats", pa.table({name: pa.array([row[name] for row in table], kind(name)) for name in motion.STATS}))
    db.execute(f"copy (select * from stats order by run_uuid) to '{out}/stats/all.parquet' {STORED}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
