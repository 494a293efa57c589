"""6: memory: a file of 100 million rows, and a run of 50 million rows, under `memory = "2GiB"`."""

import measure as m
import table

ROWS_A_SECOND = 1100
LIMIT = 2.5 * 2**30
TARGET = "2.5 GiB"
SLOWER = 2
SETTING = 'memory = "2GiB"\n'


def measure(bench):
    part = 20 if bench.quick else 1
    for runs, rows in ((10, 100e6), (1, 50e6)):
        rows = rows / part
        name = f"{rows / 1e6:g} million rows in {runs} run{'s' if runs > 1 else ''}"
        if bench.quick:
            name += " (1/20)"
        data = bench.simulated(runs, round(rows / runs / ROWS_A_SECOND))
        path = bench.project("memory", data, SETTING)
        limited = True
        try:
            bench.assets("plan", "-q", cwd=path)
        except m.Failed as error:
            if "memory" not in str(error):
                raise
            limited = False
            path = bench.project("memory", data)
        # Without the setting a run of 50 million rows could take the machine with it.
        if not limited and rows > 20e6 and available() < 40e9:
            yield table.skipped("6 memory", name, "the setting `memory` is not there yet, and this would need more than this machine has", f"< {TARGET}")
            bench.forget(path)
            continue
        took = bench.assets("materialize", "-q", cwd=path)
        note = "" if limited else "the setting `memory` is not there yet: measured without it"
        peak, shown = took.peak_bytes, f"{took}; {took.peak_bytes / rows:.0f} bytes a row"
        met = peak <= LIMIT if limited and not bench.quick else None
        yield table.Row("6 memory", name, f"< {TARGET}", shown, peak / LIMIT, met, note)
        bench.forget(path)
        if limited and not bench.quick:
            path = bench.project("memory", data)
            free = bench.assets("materialize", "-q", cwd=path)
            ratio = took.wall_s / free.wall_s
            what = f"{name}: under the limit / without"
            yield table.Row("6 memory", what, f"≤ {SLOWER} ×", f"{took} against {free}", ratio, ratio <= SLOWER)
            bench.forget(path)


def available():
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except OSError:
        return 0
