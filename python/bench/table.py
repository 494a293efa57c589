"""Results: one row a target, printed as they come, and the same as Markdown between two marks of BENCHMARKS.md."""

import datetime
import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

BEGIN, END = "<!-- begin: python3 python/bench/run.py --write -->", "<!-- end -->"


@dataclass(frozen=True)
class Row:
    """One target and what was measured. `met` is None where there is no target, or nothing could be measured."""

    line: str
    what: str
    target: str
    measured: str
    ratio: float | None = None
    met: bool | None = None
    note: str = ""

    def verdict(self):
        return {True: "met", False: "not met", None: "–"}[self.met]


def against(line, what, pair, most=None, note=""):
    """A row on the wall times of a pair, which must be at most `most` ×."""
    met = None if most is None else pair.wall <= most
    return Row(line, what, f"≤ {most:.2g} ×" if most is not None else "", str(pair), pair.wall, met, note)


def below(line, what, value, most, unit, shown, note=""):
    """A row on one figure, which must be less than `most` (in `unit`); the ratio is the figure's to the target's."""
    return Row(line, what, f"< {most:g} {unit}", shown, value / most, value < most, note)


def skipped(line, what, why, target=""):
    """A row that could not be measured here."""
    return Row(line, what, target, "not measured", note=why)


def show(row):
    ratio = "" if row.ratio is None else f"{row.ratio:.3g} ×"
    print(f"{row.line:<9} {row.what:<62} {row.target:<10} {ratio:>9}  {row.verdict():<8} {row.measured}", flush=True)
    if row.note:
        print(f"{'':<10}{row.note}", flush=True)


def machine():
    """What it was measured on."""
    cpu, memory = platform.processor() or platform.machine(), ""
    if Path("/proc/cpuinfo").exists():
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        cpu = found.group(1) if found else cpu
        kilobytes = re.search(r"MemTotal: *(\d+)", Path("/proc/meminfo").read_text()).group(1)
        memory = f", {int(kilobytes) / 1e6:.0f} GB"
    load = os.getloadavg()[0]
    return f"{cpu}, {os.cpu_count()} cores{memory}, {platform.system()} {platform.release()}, load {load:.1f} at the end"


def markdown(row, when):
    ratio = "" if row.ratio is None else f"{row.ratio:.3g} ×"
    measured = row.measured + (f" — {row.note}" if row.note else "")
    cells = [row.line, row.what, row.target, ratio, row.verdict(), measured, when]
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def write(path, rows, versions, commit, quick):
    """Replaces rows of the table of `path`: those of the lines that were measured. Each says when, and of which commit."""
    text = path.read_text()
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    when = f"{datetime.date.today().isoformat()}, {commit}{', quick' if quick else ''}"
    measured = {row.line for row in rows}
    line_of = lambda row: row.split("|")[1].strip()
    kept = [row for row in text[begin:end].splitlines() if re.match(r"\| \d+ ", row) and line_of(row) not in measured]
    every = sorted(kept + [markdown(row, when) for row in rows], key=lambda row: int(line_of(row).split()[0]))
    head = [
        f"Last: {machine()}; {versions}. Quick: one pair each, smaller inputs.",
        "",
        "| line | what | target | ratio | met | measured | when |",
        "|---|---|---|---|---|---|---|",
    ]
    path.write_text("\n".join([text[:begin], *head, *every, text[end:]]))


def commit_of(root):
    found = subprocess.run(["git", "-C", str(root), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return found.stdout.strip() or "no commit"
