"""One process for many steps: a score per run from its row of `stats`. Python starts once, however many runs there are."""

from assets_step import steps

for step in steps():
    [stats] = step.rows("stats")
    if stats["distance_mm"] is None:
        step.fail("the distance is not known")
        continue
    per_second = stats["distance_mm"] / stats["runtime_s"]
    step.report(score=[{"mm_per_s": per_second, "is_slow": per_second < step.parameters["slow_mm_s"]}])
