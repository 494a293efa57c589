"""4: what a step costs beside its work: trivial queries over 10,000 runs, a Dagster step and a plain call beside it."""

import measure as m
import table
import trivial
from bench import Missing

PACKED = '[assets.{0}]\nsql = "select n + {1} as n from readings"\npacked = true\n'
FILES = PACKED.replace("packed = true\n", "")


def measure(bench):
    keys = 1_000 if bench.quick else 10_000
    path = bench.folder("overhead")
    trivial.write(path, keys, 4, queries="")
    first = bench.assets("materialize", "-q", cwd=path)
    yield table.Row("4 step", f"readings of {keys:,} runs from 4 files, packed", "", each(first, keys))
    noop = m.median([bench.assets("materialize", "-q", cwd=path) for _ in range(bench.pairs)])
    yield table.Row("4 step", f"nothing to do over {keys:,} steps", "", each(noop, keys))
    for kind, what, most in ((PACKED, "a packed row", 100), (FILES, "a file of its own", None)):
        taken = []
        for number in range(bench.pairs):
            name = f"{'packed' if most else 'own'}_{number}"
            (path / "assets.toml").write_text(trivial.READINGS + kind.format(name, number))
            taken.append(bench.assets("materialize", name, "-q", cwd=path))
        took = m.median(taken)
        value = took.wall_s / keys * 1e6
        cpu = took.cpu_s / keys * 1e6
        shown = f"{value:.0f} µs a step (cpu {cpu:.0f} µs); {took}"
        label = f"a trivial query over {keys:,} runs, {what}"
        if most:
            yield table.below("4 step", label, value, most, "µs", shown)
        else:
            yield table.Row("4 step", label, "", shown)
    bench.forget(path)
    try:
        dagster = bench.yardstick("dagster_steps.py", needs=["dagster"])
        yield table.Row("4 step", "Dagster, a step of `materialize` in its process", "", dagster.output.strip())
    except (Missing, m.Failed) as error:
        yield table.skipped("4 step", "Dagster, a step of `materialize` in its process", str(error))
    call = bench.yardstick("call.py")
    yield table.Row("4 step", "a call of an empty Python function", "", call.output.strip())


def each(took, steps):
    return f"{took.wall_s / steps * 1e6:.0f} µs a step; {took}"
