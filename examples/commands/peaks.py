"""One process a step: where tool 1 is quick, with polars (pandas or pyarrow would do as well)."""

import polars as pl
from assets_step import step

table = pl.read_parquet(step.paths("features"))
peaks = table.filter(pl.col("v1") > step.parameters["least_mm_s"]).select("time", speed="v1")
print(f"{len(peaks)} quick moments in run {step.run}")
peaks.write_parquet(step.output("peaks"))
