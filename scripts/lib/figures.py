#!/usr/bin/env python3
"""Measures commands, keeps the figures in one JSON file, and prints them.

`scripts/demo` and `scripts/bench` are bash; this program does the parts that bash is bad at (peak memory,
medians, aligned tables). Standard library only, so that a fresh machine needs nothing else.

The figures file is one JSON object:
  runs    name -> list of {seconds, cpu_seconds, peak_bytes, compiled: {path: [names], registry: [names]}, ...}
  values  name -> number or text
  claims  list of {claim, holds, detail}
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

COMPILING = re.compile(r"^ +Compiling (\S+) v\S+( \(/.*\))?(?: \(proc-macro\))?$")
UNUSED_PATCH = "was not used in the crate graph"


# The figures file


def load(path):
    """Returns the figures recorded so far; an empty set if there are none yet."""
    path = Path(path)
    if path.exists():
        return json.loads(path.read_text())
    return {"runs": {}, "values": {}, "claims": []}


def store(path, figures):
    """Replaces the whole figures file, so that an interrupted run leaves the old one."""
    partial = Path(f"{path}.partial")
    partial.write_text(json.dumps(figures, indent=2) + "\n")
    partial.replace(path)


# Measuring one command


class Progress:
    """One line on stderr: live on a terminal, written once (at the end) elsewhere."""

    def __init__(self, label, errors):
        self.label = label
        self.errors = errors
        self.live = sys.stderr.isatty()
        self.started = time.monotonic()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.tick, daemon=True)

    def line(self, seconds, note):
        return f"  {self.label + ' ':.<44} {seconds:8.2f} s{note}"

    def compiled(self):
        """Counts the crates that cargo has started so far."""
        return self.errors.read_text(errors="replace").count(" Compiling ")

    def tick(self):
        while not self.done.wait(0.5):
            seconds = time.monotonic() - self.started
            count = self.compiled()
            note = f"  {count} crates" if count else ""
            sys.stderr.write("\r" + self.line(seconds, note) + "\033[K")
            sys.stderr.flush()

    def __enter__(self):
        if self.live:
            self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        if self.live:
            self.thread.join()

    def finish(self, seconds, note):
        start = "\r" if self.live else ""
        end = "\033[K\n" if self.live else "\n"
        sys.stderr.write(start + self.line(seconds, note) + end)


def execute(command, out, errors):
    """Runs `command`; returns its exit status, its seconds, the CPU seconds of all its processes, and the peak
    memory of the largest."""
    with open(out, "wb") as out_file, open(errors, "wb") as errors_file:
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=out_file, stderr=errors_file)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def crates_compiled(errors):
    """Returns the names of the crates in cargo's `Compiling` lines: path crates and registry crates."""
    found = {"path": [], "registry": []}
    for line in errors.splitlines():
        match = COMPILING.match(line)
        if match:
            found["path" if match[2] else "registry"].append(match[1])
    return {kind: sorted(names) for kind, names in found.items()}


def parse_report(text):
    """Returns the JSON object that the command printed, if it printed one."""
    text = text.strip()
    return json.loads(text) if text.startswith("{") else None


def run(args):
    """Runs and measures one command; its output goes to the log, its figures to the figures file."""
    log = Path(args.log)
    out, errors = Path(f"{args.figures}.out"), Path(f"{args.figures}.err")
    errors.touch()
    with Progress(args.label, errors) as progress:
        status, seconds, cpu_seconds, peak_bytes = execute(args.command, out, errors)
    out_text, error_text = out.read_text(errors="replace"), errors.read_text(errors="replace")
    with log.open("a") as file:
        file.write(f"\n$ {' '.join(args.command)}\n{error_text}{out_text}[{status}] {seconds:.2f} s\n")
    out.unlink()
    errors.unlink()

    progress.finish(seconds, f"  failed, exit status {status}" if status else "")
    if status:
        sys.stderr.writelines(f"    {line}\n" for line in error_text.splitlines()[-5:])
        return 1
    if UNUSED_PATCH in error_text:
        sys.stderr.write(f"cargo says that a patch {UNUSED_PATCH}\n")
        return 1

    figures = load(args.figures)
    figures["runs"].setdefault(args.name, []).append({
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_bytes": peak_bytes,
        "compiled": crates_compiled(error_text),
        "report": parse_report(out_text),
    })
    store(args.figures, figures)
    return 0


# Writing and reading single figures


def put(args):
    """Records one value: a number if it looks like one, else the text."""
    figures = load(args.figures)
    figures["values"][args.name] = int(args.value) if args.value.isdecimal() else args.value
    store(args.figures, figures)
    return 0


def get(args):
    """Prints one value."""
    print(load(args.figures)["values"][args.name])
    return 0


def claim(args):
    """Records whether a claim holds: it does if both lists of words are equal."""
    expected, actual = args.expected.split(), args.actual.split()
    holds = expected == actual
    detail = "" if holds else f"expected [{' '.join(expected)}], found [{' '.join(actual)}]"
    figures = load(args.figures)
    figures["claims"].append({"claim": args.claim, "holds": holds, "detail": detail})
    store(args.figures, figures)
    return 0


def compiled(args):
    """Prints the names of the crates that the last run called `name` compiled."""
    last = load(args.figures)["runs"][args.name][-1]["compiled"]
    kinds = ["path", "registry"] if args.kind == "all" else [args.kind]
    print(" ".join(sorted(name for kind in kinds for name in last[kind])))
    return 0


def report(args):
    """Prints one field of the JSON object that the last run called `name` printed."""
    print(load(args.figures)["runs"][args.name][-1]["report"][args.field])
    return 0


# The demo's table


def megabytes(count):
    return f"{count / 1e6:,.0f} MB"


def mebibytes(count):
    return f"{count / 2**20:,.0f} MiB"


class Demo:
    """The figures of one demo, by the names that `scripts/demo` gives them."""

    def __init__(self, figures):
        self.runs = figures["runs"]
        self.values = figures["values"]

    def seconds(self, *names):
        """Returns the sum of the last runs with these names."""
        return sum(self.runs[name][-1]["seconds"] for name in names)

    def peak(self, *names):
        return max(run["peak_bytes"] for name in names for run in self.runs[name])

    def crates(self, name):
        return sum(map(len, self.runs[name][-1]["compiled"].values()))

    def rows(self):
        """Yields the table, one row after the other: a label and four cells."""

        def seconds(*names):
            return f"{self.seconds(*names):.2f} s"

        sides = ("rsync", "ours", "hot")
        yield "", ("cold", "rsync -a", "runner-cache", "its hot tree")
        yield "cargo fetch", [seconds(f"fetch-{side}") for side in ("cold", *sides)]
        yield "restore", ("", *[seconds(f"restore-{side}") for side in sides])
        yield "cargo build", [seconds(f"build-{side}") for side in ("cold", *sides)]
        yield "restore + build", (
            seconds("build-cold"),
            *[seconds(f"restore-{side}", f"build-{side}") for side in sides],
        )
        yield "crates compiled", [f"{self.crates(f'build-{side}'):,}" for side in ("cold", *sides)]
        yield "bytes on disk", (
            megabytes(self.values["live_bytes"]),
            megabytes(self.values["rsync_bytes"]),
            megabytes(self.values["store_bytes"]),
            "",
        )
        yield "save", ("", seconds("save-rsync"), seconds("save-ours"), "")
        yield "save, nothing changed", ("", seconds("again-rsync"), seconds("again-ours"), seconds("hot-save"))
        saves = ("save-rsync", "save-ours", "hot-save")
        yield "peak memory of save", ("", *[mebibytes(self.peak(name)) for name in saves])
        yield "peak memory of restore", ("", *[mebibytes(self.peak(f"restore-{side}")) for side in sides])

    def bars(self):
        """Yields each figure with a bar: label, figure, its text, bar, its text, whether more is better."""
        ours = self.seconds("restore-ours", "build-ours")
        cold_ratio = self.seconds("build-cold") / ours
        restore_ratio = self.seconds("restore-rsync") / self.seconds("restore-ours")
        rsync_ratio = self.seconds("restore-rsync", "build-rsync") / ours
        bytes_ratio = self.values["rsync_bytes"] / self.values["store_bytes"]
        large = self.values["size"] == "large"

        def ratio(label, value, bar):
            return label, value, f"{value:.1f}x", bar, f"{bar}x or more", True

        if large:
            yield ratio("restore: rsync / ours", restore_ratio, 3)
            yield ratio("restore + build: rsync / ours", rsync_ratio, 6)
            for name in ("save", "restore"):
                peak = self.peak(f"{name}-ours")
                yield f"peak memory of {name}", peak, mebibytes(peak), 400 * 2**20, "400 MiB or less", False
            per_ten_thousand = self.seconds("again-ours") / self.values["live_files"] * 10_000
            label = "save, nothing changed, per 10,000 files"
            yield label, per_ten_thousand, f"{per_ten_thousand:.2f} s", 1, "1 s or less", False
            yield "restore + build: cold / ours", cold_ratio, f"{cold_ratio:.1f}x", None, "", True
        else:
            yield ratio("restore + build: cold / ours", cold_ratio, 20)
            yield ratio("restore + build: rsync / ours", rsync_ratio, 3)
            yield "restore: rsync / ours", restore_ratio, f"{restore_ratio:.1f}x", None, "", True
        yield ratio("bytes on disk: rsync / ours", bytes_ratio, 3)

        with_fetch = self.seconds("fetch-cold", "build-cold") / (self.seconds("fetch-ours") + ours)
        yield "cold / ours, cargo fetch counted in both", with_fetch, f"{with_fetch:.1f}x", None, "", True


def met(value, bar, more_is_better):
    """Returns whether the bar is met; a figure without a bar meets it."""
    if bar is None:
        return None
    return value >= bar if more_is_better else value <= bar


def demo_table(args):
    """Prints the table, the bars and the claims; exit status 1 if a claim is false."""
    figures = load(args.figures)
    demo = Demo(figures)
    for label, cells in demo.rows():
        print(f"{label:<23}" + "".join(f"{cell or '-':>14}" for cell in cells))
    print()

    figures["bars"] = []
    for label, value, text, bar, bar_text, more_is_better in demo.bars():
        verdict = met(value, bar, more_is_better)
        words = {True: f"bar {bar_text}: met", False: f"bar {bar_text}: MISSED", None: ""}[verdict]
        print(f"{label:<42} {text:>9}   {words}".rstrip())
        figures["bars"].append({"figure": label, "value": value, "bar": bar, "met": verdict})
    print()

    for item in figures["claims"]:
        print(f"{'true ' if item['holds'] else 'FALSE'}  {item['claim']}")
        if item["detail"]:
            print(f"       {item['detail']}")
    store(args.figures, figures)
    return 0 if all(item["holds"] for item in figures["claims"]) else 1


# The bench's table


# The sides of a case, in the order of display.
SIDES = ("ours", "rsync", "cp", "tar", "reflink", "cargo", "floor", "nowhere")

# These report their own time, because they first read their input.
TIMED_BY_THEMSELVES = ("floor", "nowhere")


def bench_case(runs, name):
    """Returns the figures of one case, in seconds, and the ratios of the peers' times to ours."""
    case = {"case": name, "sides": {}}
    for side in SIDES:
        measured = runs.get(f"{name}.{side}", [])
        if side in TIMED_BY_THEMSELVES:
            measured = [run["report"] for run in measured]
        seconds = [run["seconds"] for run in measured]
        if seconds:
            case["sides"][side] = {"median": statistics.median(seconds), "min": min(seconds)}
    ours = case["sides"]["ours"]["median"]
    case["ratios"] = {side: it["median"] / ours for side, it in case["sides"].items() if side != "ours"}
    report = runs[f"{name}.ours"][-1]["report"] or {}
    modes = (area.get("mode") for area in report.get("areas", []))
    case["modes"] = [mode for mode in dict.fromkeys(modes) if mode and mode != "nothing"]
    return case


def bench_table(args):
    """Prints medians, minima and ratios as a Markdown table: one row a case."""
    figures = load(args.figures)
    names = dict.fromkeys(name.rpartition(".")[0] for name in figures["runs"] if "." in name)
    figures["cases"] = [bench_case(figures["runs"], name) for name in names]
    store(args.figures, figures)

    print("| case | ours, median (min) | peers, median (min) | times ours | how |")
    print("|---|---:|---|---|---|")
    for case in figures["cases"]:
        cells = {side: f"{it['median']:.2f} s ({it['min']:.2f})" for side, it in case["sides"].items()}
        ours = cells.pop("ours")
        peers = ", ".join(f"{side} {cell}" for side, cell in cells.items())
        ratios = ", ".join(f"{side} {ratio:.1f}x" for side, ratio in case["ratios"].items())
        print(f"| {case['case']} | {ours} | {peers} | {ratios} | {', '.join(case['modes'])} |")
    return 0


COLORS = {
    "ours": "#c2410c",
    "rsync": "#64748b",
    "cp": "#94a3b8",
    "tar": "#475569",
    "reflink": "#0f766e",
    "cargo": "#7c5e3c",
    "floor": "#a3b18a",
    "nowhere": "#a3b18a",
    "ours-hot": "#9a3412",
    "ours-hot-incremental": "#ea580c",
    "ours-packs": "#9a3412",
    "ours-packs-incremental": "#ea580c",
    "mbx": "#475569",
    "mbx-incremental": "#475569",
    "mbx-eager": "#475569",
    "sccache": "#0f766e",
    "kache": "#7c5e3c",
}


def plot(args):
    """Draws the medians of each case as bars, ours first, to the given SVG file."""
    figures = load(args.figures)
    bars = []
    for case in figures["cases"]:
        bars.append((case["case"], None, None))
        bars.extend((side, it["median"], side) for side, it in case["sides"].items())
    longest = max(seconds for _, seconds, _ in bars if seconds is not None)
    height, left, width = 20, 170, 720
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height * (len(bars) + 1)}"',
        '  font-family="system-ui, sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    for row, (label, seconds, side) in enumerate(bars):
        y = height * row + 14 + height // 2
        if seconds is None:
            lines.append(f'<text x="10" y="{y}" font-weight="bold">{label}</text>')
            continue
        length = max(1.0, (width - left - 80) * seconds / longest)
        lines.append(f'<text x="{left - 8}" y="{y}" text-anchor="end">{label}</text>')
        lines.append(
            f'<rect x="{left}" y="{y - 11}" width="{length:.1f}" height="14" fill="{COLORS[side]}"/>'
        )
        lines.append(f'<text x="{left + length + 6:.1f}" y="{y}">{seconds:.2f} s</text>')
    lines.append("</svg>")
    with open(args.svg, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figures", required=True)
    commands = parser.add_subparsers(required=True)

    def command(function, *names, name=None):
        sub = commands.add_parser(name or function.__name__, help=function.__doc__)
        for argument in names:
            sub.add_argument(argument)
        sub.set_defaults(function=function)
        return sub

    sub = command(run, "name", "label", "log")
    sub.add_argument("command", nargs=argparse.REMAINDER)
    command(put, "name", "value")
    command(get, "name")
    command(claim, "claim", "expected", "actual")
    command(compiled, "name", "kind")
    command(report, "name", "field")
    command(demo_table, name="demo-table")
    command(bench_table, name="bench-table")
    command(plot, "svg")
    args = parser.parse_args()
    try:
        return args.function(args)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
