"""The numbers of the cold job in numpy: what `assets` computes from a run's samples, as one would write it by hand.

Shared by the yardsticks in polars and in pandas, which differ in how they read, sort and write.
A run is a dict of channel → (times in µs as int64, values), with channels such as `x_1` and `fx_2`.
"""

import numpy as np

AXES = ("x", "y", "z")
ROBOTS = (1, 2)
WIDE = [f"{field}_{robot}" for field in ("fx", "fy", "fz", "x", "y", "z") for robot in ROBOTS]
WINDOW_US = 250_000
LEAST_SAMPLES = 5
DEAD_BAND_MM = 0.01
GAP_PERIODS = 5
SESSION_GAP_US = 10_000_000
NOTHING = (np.empty(0, np.int64), np.empty(0))


def weights(offsets_s, order=3):
    """Weights of the first and the second derivative at 0 of a polynomial fitted to samples at `offsets_s`."""
    reach = np.abs(offsets_s).max()
    powers = np.vander(offsets_s / reach, min(order, len(offsets_s) - 1) + 1, increasing=True)
    inverse = np.linalg.pinv(powers)
    return inverse[1] / reach, 2 * inverse[2] / reach**2


def savgol(ts, columns):
    """Velocity and acceleration of each column on its own samples; the samples that `numpy.gradient` stood in for."""
    n = len(ts)
    period = np.median(np.diff(ts)) if n > 1 else 0
    half = int(WINDOW_US // 2 // period) if period else 0
    size = 2 * half + 1
    even = n > 1 and bool((np.diff(ts) == period).all())
    if not even or size < LEAST_SAMPLES or n < size:
        return uneven(ts, columns)
    at = (np.arange(size) * period) / 1e6
    v_inner, a_inner = weights(at - at[half])
    out = []
    for values in columns:
        centred = values - values[n // 2]
        velocity, acceleration = np.empty(n), np.empty(n)
        velocity[half : n - half] = np.convolve(centred, v_inner[::-1], "valid")
        acceleration[half : n - half] = np.convolve(centred, a_inner[::-1], "valid")
        out.append((velocity, acceleration, centred))
    for place in range(half):  # the window shifts inward at both ends
        for where, begin in ((place, 0), (n - 1 - place, n - size)):
            by_v, by_a = weights(at - at[where - begin])
            for velocity, acceleration, centred in out:
                velocity[where] = by_v @ centred[begin : begin + size]
                acceleration[where] = by_a @ centred[begin : begin + size]
    return [(velocity, acceleration) for velocity, acceleration, _ in out], 0


def uneven(ts, columns):
    raise NotImplementedError("the benchmark's recording is even: a hand-written script would handle the rest, slowly")


def derivatives(run):
    """Channel → (velocity, acceleration) for every delivered encoder field, and per robot the fallbacks."""
    native, fallback = {}, {}
    for robot in ROBOTS:
        names = [f"{axis}_{robot}" for axis in AXES if f"{axis}_{robot}" in run]
        fallback[robot] = 0 if names else None
        groups = {}
        for name in names:
            groups.setdefault(run[name][0].tobytes(), []).append(name)
        for alike in groups.values():
            pairs, stood_in = savgol(run[alike[0]][0], [run[name][1] for name in alike])
            fallback[robot] = max(fallback[robot], stood_in)
            native.update(zip(alike, pairs))
    return native, fallback


def one_session(axis):
    """The benchmark's runs have no pause; a script for runs that pause would loop here."""
    if len(axis) > 1 and np.diff(axis).max() > SESSION_GAP_US:
        raise NotImplementedError("a run that pauses")


def wide(run, axis):
    """Column → values at every time of `axis`, linear between samples, held at the ends; None where not delivered."""
    one_session(axis)
    since = (axis - axis[0]).astype(float)
    columns = {}
    for name in WIDE:
        ts, values = run.get(name, NOTHING)
        columns[name] = np.interp(since, (ts - axis[0]).astype(float), values) if len(ts) else None
    return columns


def features(run, axis, aligned, native):
    """The columns of `features` behind those of `wide`, in order."""
    since = (axis - axis[0]).astype(float)
    columns = {}

    def norm(letter, robot):
        parts = [columns[f"{letter}{axis_name}_{robot}"] for axis_name in AXES]
        if any(part is None for part in parts):
            return None
        return np.sqrt(parts[0] * parts[0] + parts[1] * parts[1] + parts[2] * parts[2])

    for which, letter in ((0, "v"), (1, "a")):
        for robot in ROBOTS:
            for axis_name in AXES:
                name = f"{axis_name}_{robot}"
                if name not in native:
                    columns[letter + name] = None
                    continue
                ts = (run[name][0] - axis[0]).astype(float)
                columns[letter + name] = np.interp(since, ts, native[name][which], left=np.nan, right=np.nan)
        for robot in ROBOTS:
            columns[f"{letter}{robot}"] = norm(letter, robot)
    for robot in ROBOTS:
        parts = [aligned[f"f{axis_name}_{robot}"] for axis_name in AXES]
        known = all(part is not None for part in parts)
        columns[f"f{robot}"] = np.sqrt(sum(part * part for part in parts)) if known else None
    return columns


def track(run, names):
    """Times at which all three fields are known, and the places of those samples per field."""
    if any(name not in run for name in names):
        return None
    times = [run[name][0] for name in names]
    if all(len(t) == len(times[0]) and (t == times[0]).all() for t in times[1:]):
        every = np.arange(len(times[0]))
        return times[0], [every] * 3
    common = np.intersect1d(np.intersect1d(times[0], times[1], True), times[2], True)
    return (common, [np.searchsorted(t, common) for t in times]) if len(common) else None


def path(points):
    return float(np.sqrt((np.diff(points, axis=0) ** 2).sum(axis=1)).sum())


def dead_banded(points, band):
    """From the last accepted point: sequential, so in Python. A stretch whose every step is longer is taken at once."""
    steps = np.sqrt((np.diff(points, axis=0) ** 2).sum(axis=1))
    short = np.flatnonzero(steps <= band)
    if not len(short):
        return float(steps.sum())
    total, at, n = 0.0, 0, len(points)
    while at < n - 1:
        place = np.searchsorted(short, at)
        until = int(short[place]) if place < len(short) else n - 1
        total += float(steps[at:until].sum())
        at = until
        if at >= n - 1:
            break
        found, size = None, 64
        begin = at + 1
        while found is None and begin < n:  # look ahead in growing blocks for the next point outside of the band
            block = points[begin : begin + size]
            away = np.sqrt(((block - points[at]) ** 2).sum(axis=1))
            outside = np.flatnonzero(away > band)
            if len(outside):
                found = begin + int(outside[0])
                total += float(away[outside[0]])
            begin, size = begin + len(block), size * 2
        if found is None:
            break
        at = found
    return total


def mean(ts, values):
    seconds = np.diff(ts).astype(float)
    if not len(seconds):
        return float(values[0])
    return float((seconds * (values[1:] + values[:-1]) / 2).sum() / seconds.sum())


def stats(run_uuid, cell_id, run, axis, native, fallback, rows, delivered):
    """The row of `stats`, in the order of its columns. Times are µs."""
    seconds = (axis[-1] - axis[0]) / 1e6
    row = {"run_uuid": run_uuid, "start_time": int(axis[0]), "stop_time": int(axis[-1]), "runtime_s": seconds}
    distances, last = {}, {}
    for robot in ROBOTS:
        names = [f"{axis_name}_{robot}" for axis_name in AXES]
        found = track(run, names)
        plain = banded = half = None
        if found:
            points = np.stack([run[name][1][at] for name, at in zip(names, found[1])], axis=1)
            plain, banded = path(points), dead_banded(points, DEAD_BAND_MM)
            kept = points[::2] if len(points) % 2 else np.concatenate([points[::2], points[-1:]])
            half = path(kept)
        distances[robot] = plain
        for letter, which, unit in (("v", 0, "mm_s"), ("a", 1, "mm_s2")):
            norms = None
            if found:
                norms = np.sqrt(sum(native[name][which][at] ** 2 for name, at in zip(names, found[1])))
            last[f"{letter}{robot}_peak_{unit}"] = float(norms.max()) if found else None
            last[f"{letter}{robot}_mean_{unit}"] = mean(found[0], norms) if found else None
        cells = [f"f{axis_name}_{robot}" for axis_name in AXES]
        pressed = track(run, cells)
        if pressed:
            norms = np.sqrt(sum(run[name][1][at] ** 2 for name, at in zip(cells, pressed[1])))
        last[f"f{robot}_peak_n"] = float(norms.max()) if pressed else None
        last[f"f{robot}_mean_n"] = mean(pressed[0], norms) if pressed else None
        last[f"distance_{robot}_dead_band_mm"] = banded
        last[f"distance_{robot}_half_rate_mm"] = half
        last[f"central_fallback_{robot}"] = fallback[robot]
    row["distance_1_mm"], row["distance_2_mm"] = distances[1], distances[2]
    row["distance_mm"] = None if None in distances.values() else distances[1] + distances[2]
    row["sessions"], row["active_s"] = 1, seconds
    longest, gaps = 0, 0
    for robot in ROBOTS:
        for sensor, fields in (("encoder", AXES), ("load_cell", ("fx", "fy", "fz"))):
            own = [run[f"{field}_{robot}"][0] for field in fields if f"{field}_{robot}" in run]
            times = np.empty(0, np.int64)
            for other in own:
                times = other if len(times) == len(other) and (times == other).all() else np.union1d(times, other)
            period = period_of(times)
            row[f"{sensor}_{robot}_samples"] = len(times)
            row[f"{sensor}_{robot}_rate_hz"] = 1e6 / period if period else None
            for ts in own:
                steps = np.diff(ts)
                wide_ones = steps[steps > GAP_PERIODS * (period_of(ts) or 0)]
                gaps += len(wide_ones)
                longest = max(longest, int(wide_ones.max(initial=0)))
    row["gaps"], row["longest_gap_s"] = gaps, longest / 1e6
    row["rejected_share"] = (delivered - rows) / delivered
    row.update(last)
    row["cell_id"] = cell_id
    return row


def period_of(ts):
    """The median period, the lower one of two middle values."""
    steps = np.diff(ts)
    return int(np.partition(steps, (len(steps) - 1) // 2)[(len(steps) - 1) // 2]) if len(steps) else None


STATS = (
    ["run_uuid", "start_time", "stop_time", "runtime_s", "distance_1_mm", "distance_2_mm", "distance_mm"]
    + ["sessions", "active_s"]
    + [f"{sensor}_{robot}_{what}" for robot in ROBOTS for sensor in ("encoder", "load_cell") for what in ("samples", "rate_hz")]
    + ["gaps", "longest_gap_s", "rejected_share"]
    + [
        f"{letter}{robot}_{what}_{unit}"
        for letter, unit in (("v", "mm_s"), ("a", "mm_s2"), ("f", "n"))
        for robot in ROBOTS
        for what in ("peak", "mean")
    ]
    + [
        name
        for robot in ROBOTS
        for name in (f"distance_{robot}_dead_band_mm", f"distance_{robot}_half_rate_mm", f"central_fallback_{robot}")
    ]
    + ["cell_id"]
)
