"""2: nothing to do: `materialize` over 10⁴, 10⁵ and 10⁶ fresh steps against ninja, and `plan`, `status`, `why` of one run.

Steps are packed rows of a file's keys and three queries over each; ninja gets as many outputs, one edge each from its source
file, all there and in its log.
"""

import measure as m
import table
import trivial
from bench import Missing, settle

SIZES = [(10**4, 4, 1.0), (10**5, 40, 1 / 3), (10**6, 400, 1 / 10)]
MOST_BYTES = 200e6
CREATE_LIMIT_S = 600


def measure(bench):
    rate = 0.0
    for steps, files, most in SIZES[: 2 if bench.quick else 3]:
        note = ""
        if rate * steps > CREATE_LIMIT_S:
            possible = int(CREATE_LIMIT_S / rate)
            possible -= possible % 10 ** (len(str(possible)) - 1)
            expected = f"making {name_of(steps)} would take about {rate * steps / 60:.0f} minutes, more than {CREATE_LIMIT_S / 60:g}"
            yield table.skipped("2 no-op", f"{name_of(steps)} steps", expected, f"≤ {most:.2g} ×")
            note = f"the target is for {name_of(steps)}"
            files, steps = max(4, files * possible // steps), possible
        name = f"{name_of(steps)} steps in {files} files"
        path = bench.folder(f"noop-{steps}")
        trivial.write(path, steps // trivial.ASSETS, files)
        made = bench.assets("materialize", "-q", cwd=path)
        rate = made.wall_s / steps
        yield table.Row("2 no-op", f"{name}: making them first", "", f"{made}; {rate * 1e6:.0f} µs a step")
        ours = lambda: bench.assets("materialize", "-q", cwd=path)  # noqa: E731
        ours()  # source files younger than 2 s are not trusted yet
        yield from against_ninja(bench, name, steps, files, most, ours, note)
        yield from of_one_run(bench, name, path, steps)
        bench.forget(path)
        if note:
            return


def name_of(steps):
    """10⁴, or 6·10⁵."""
    digit, power = str(steps)[0], "⁰¹²³⁴⁵⁶⁷"[len(str(steps)) - 1]
    return f"10{power}" if digit == "1" else f"{digit}·10{power}"


def against_ninja(bench, name, steps, files, most, ours, note):
    what = f"{name}: materialize / ninja"
    try:
        ninja = bench.folder(f"ninja-{steps}")
        bench.yardstick("ninja_tree.py", ninja, steps, files, bench.tool("ninja"))
        settle()
        theirs = lambda: m.run([bench.tool("ninja"), "--quiet"], cwd=ninja)  # noqa: E731
        theirs()
        pair = m.pairs(ours, theirs, bench.pairs)
        yield table.against("2 no-op", what, pair, None if note else most, note)
        peak = pair.a.peak_bytes
    except Missing as error:
        yield table.skipped("2 no-op", what, str(error), f"≤ {most:.2g} ×")
        peak = m.median([ours() for _ in range(bench.pairs)]).peak_bytes
    finally:
        bench.forget(bench.scratch / f"ninja-{steps}")
    met = peak <= MOST_BYTES if steps == 10**6 else None
    note = "" if steps == 10**6 else f"the target, {MOST_BYTES / 1e6:.0f} MB, is for 10⁶ steps"
    target = f"≤ {MOST_BYTES / 1e6:.0f} MB" if steps == 10**6 else ""
    yield table.Row("2 no-op", f"{name}: peak of memory", target, f"{peak / 1e6:.0f} MB", peak / MOST_BYTES, met, note)


def of_one_run(bench, name, path, steps):
    run = trivial.key(steps // trivial.ASSETS // 2)
    for verb in (["plan"], ["status"], ["why", "c"]):
        took = m.median([bench.assets(*verb, "--run", run, cwd=path) for _ in range(2 * bench.pairs + 1)])
        yield table.below("2 no-op", f"{name}: {verb[0]} of one run", took.wall_s * 1e3, 100, "ms", str(took))
