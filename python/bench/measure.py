"""Runs a program and says what it took: wall time, processor time, peak of memory.

Processor time is that of the process and of all its children that ended before it. The peak is the resident size of the
largest process among them, files that it maps included; Linux counts no less than the driver's own size.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass

LIMIT_S = 1800
NOISE_CORES = 0.25  # more than that is said


class Failed(Exception):
    """A program that was to be measured failed; says which and how."""


@dataclass(frozen=True)
class Took:
    """What one call took."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    output: str = ""
    others: float = 0.0  # cores that other programs kept busy meanwhile

    def __str__(self):
        noise = f", others {self.others:.1f} cores" if self.others > NOISE_CORES else ""
        return f"{seconds(self.wall_s)} (cpu {seconds(self.cpu_s)}, peak {self.peak_bytes / 1e6:.0f} MB{noise})"


def run(argv, cwd=None, env=None, limit_s=LIMIT_S):
    """Runs `argv` to its end; its standard output is kept, its errors are shown where it fails."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begun, busy = time.perf_counter(), busy_s()
        process = subprocess.Popen(
            [str(arg) for arg in argv], cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            start_new_session=True,
        )
        timer = threading.Timer(limit_s, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            timer.cancel()
        wall, busy = time.perf_counter() - begun, busy_s() - busy
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        output = out.read().decode(errors="replace")
        if process.returncode != 0:
            err.seek(0)
            said = err.read().decode(errors="replace").strip()[-600:]
            late = f" (ended after {limit_s} s)" if process.returncode == -signal.SIGKILL else ""
            raise Failed(f"{' '.join(map(str, argv))}: exit code {process.returncode}{late}: {said}")
    unit = 1 if sys.platform == "darwin" else 1024
    cpu = usage.ru_utime + usage.ru_stime
    others = (busy - cpu) / wall if wall > 0.1 else 0.0  # the kernel counts in hundredths of a second
    return Took(wall, cpu, usage.ru_maxrss * unit, output, others)


def busy_s():
    """Seconds that all cores together were busy since the start of the machine; 0 where Linux does not tell."""
    try:
        with open("/proc/stat") as lines:
            user, nice, system, _, _, irq, softirq, steal = map(int, lines.readline().split()[1:9])
    except OSError:
        return 0.0
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def median(several):
    """The medians of what several calls took, each figure by itself."""
    return Took(
        statistics.median(took.wall_s for took in several),
        statistics.median(took.cpu_s for took in several),
        int(statistics.median(took.peak_bytes for took in several)),
        several[-1].output,
        statistics.median(took.others for took in several),
    )


@dataclass(frozen=True)
class Pair:
    """Two programs that ran by turns."""

    a: Took
    b: Took
    wall: float
    cpu: float

    def __str__(self):
        return f"{self.a} against {self.b}; cpu {self.cpu:.2f} ×"


def pairs(first, second, count):
    """Runs `first` and `second` by turns (A B A B); each returns a Took. Ratios are medians of the pairs' ratios."""
    taken = [(first(), second()) for _ in range(count)]
    a, b = zip(*taken)
    ratio = lambda figure: statistics.median(figure(x) / max(figure(y), 1e-9) for x, y in taken)  # noqa: E731
    return Pair(median(a), median(b), ratio(lambda took: took.wall_s), ratio(lambda took: took.cpu_s))


def seconds(value):
    """A duration as people read it."""
    if value < 1e-3:
        return f"{value * 1e6:.0f} µs"
    if value < 1:
        return f"{value * 1e3:.0f} ms" if value >= 0.01 else f"{value * 1e3:.1f} ms"
    return f"{value:.1f} s" if value < 100 else f"{value:.0f} s"
