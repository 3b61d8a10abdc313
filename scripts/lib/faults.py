#!/usr/bin/env python3
"""Injects faults into a store and the processes that use it, and counts violated conditions in one table.

`scripts/soak-faults` is the command line. Needs strace, root (to mount) and XFS; the standard library is enough.
"""

import argparse
import itertools
import math
import os
import random
import shutil
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fault_kinds as kinds
from fault_host import FAULTS, Fault

ROW = "{what:<34} {cases:>6} {damage:>7} {wrong:>11} {hangs:>6} {unexplained:>12} {time:>8}"
# The number of findings of each kind that are printed.
SHOWN = 12
# The number of cases of each kind for each size. None means all.
SIZES = {
    "quick": {"kills": 24, "errors": 16, "damage": 20, "disks": 4, "power": 4, "storm": (6, 5)},
    "moderate": {"kills": 800, "errors": 800, "damage": None, "disks": 60, "power": 60, "storm": (32, 120)},
    "long": {"kills": None, "errors": None, "damage": None, "disks": 240, "power": 400, "storm": (32, 600)},
}
KINDS = tuple(SIZES["quick"])


class Table:
    """Counts cases and findings; prints each row when it is done."""

    def __init__(self):
        self.total, self.told = Counter(), []
        print(ROW.format(what="what", cases="cases", damage="damage", wrong="wrong bytes", hangs="hangs", unexplained="unexplained", time="time"))

    def row(self, what, cases, found, seconds):
        counts = Counter(fault.column for _, fault in found)
        self.total += Counter(counts)
        self.total["cases"] += cases
        told = [f"{what}: {case}: {fault.column}: {fault}" for case, fault in found]
        # Print at once: an interrupted long run has then shown its findings.
        print("\n".join(told), file=sys.stderr, end="\n" if told else "")
        self.told += told
        self.print(what, cases, counts, seconds)

    def print(self, what, cases, counts, seconds):
        columns = dict(zip(("damage", "wrong", "hangs", "unexplained"), (counts[fault] for fault in FAULTS), strict=True))
        print(ROW.format(what=what, cases=cases, time=f"{seconds:.0f} s", **columns), flush=True)


def chosen(cases, count, chance):
    """Returns the wanted number of cases, spread over all of them."""
    cases = list(cases)
    if count is None or count >= len(cases):
        return cases
    step = len(cases) / count
    return [cases[min(len(cases) - 1, math.floor((at + chance.random()) * step))] for at in range(count)]


def try_all(cases, work, workers):
    """Tries each case in its own directory; returns the number of faults that happened, and the findings."""
    work.mkdir(exist_ok=True)

    def one(numbered):
        number, (name, case) = numbered
        base = work / f"case-{number}"
        try:
            case(base)
        except kinds.Skip:
            shutil.rmtree(base, ignore_errors=True)
            return None
        except Fault as fault:
            return name, fault
        return ()

    with ThreadPoolExecutor(workers) as pool:
        results = [result for result in pool.map(one, enumerate(cases)) if result is not None]
    return len(results), [result for result in results if result]


def calls(table, arguments, work, chance):
    scenes = kinds.scenes(work, arguments.program)
    for name, of, faults in (("kills", kinds.WRITES, (kinds.KILLED,)), ("errors", f"{kinds.WRITES},{kinds.READS}", kinds.ERRORS)):
        if name not in arguments.kind:
            continue
        for scene in scenes:
            count = arguments.size[name]
            count = count and math.ceil(count / len(scenes))
            started = time.monotonic()
            cases = chosen(kinds.call_cases(scene, work, of, faults), count, chance)
            tried, found = try_all(cases, work / f"{name}-{scene.name}", arguments.workers)
            what = "killed at a call" if name == "kills" else "an error at a call"
            table.row(f"{what}, {scene.name}", tried, found, time.monotonic() - started)


def damages(table, arguments, work, chance):
    started = time.monotonic()
    scene = kinds.scenes(work, arguments.program)[3]
    cases = chosen(kinds.damage_cases(scene), arguments.size["damage"], chance)
    tried, found = try_all(cases, work, arguments.workers)
    table.row("a damaged file of the store", tried, found, time.monotonic() - started)


def disks(table, arguments, work, _chance):
    started = time.monotonic()
    tried, found = try_all(list(kinds.disk_cases(arguments.program, arguments.size["disks"])), work, arguments.workers)
    table.row("a small disk", tried, found, time.monotonic() - started)


def power(table, arguments, work, _chance):
    started = time.monotonic()
    image = work / "xfs.img"
    with open(image, "wb") as file:
        file.truncate(8 << 30)
    kinds.subprocess.run(["mkfs.xfs", "-q", str(image)], check=True)
    cuts = kinds.PowerCuts(arguments.program, work, arguments.size["power"], arguments.seed)
    with kinds.mounted(cuts.host_disk, "-o", "loop", image):
        try:
            cuts.record()
        except Fault as fault:
            table.row("a power cut", 0, [("while it was recorded", fault)], time.monotonic() - started)
            return
        # All cases use the same place, one after another.
        tried, found = try_all(list(cuts.cases()), work, 1)
    table.row("a power cut", tried, found, time.monotonic() - started)


def storm(table, arguments, work, _chance):
    started = time.monotonic()
    processes, seconds = arguments.size["storm"]
    storm = kinds.Storm(arguments.program, work, processes, seconds, arguments.seed)
    found = [("", fault) for fault in storm.run()]
    what = f"{processes} at once, {storm.kills} killed"
    table.row(what, storm.commands, found, time.monotonic() - started)


def parsed(arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--size", choices=SIZES, default="moderate")
    parser.add_argument("--kind", choices=KINDS, nargs="*")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    options.size = SIZES[options.size]
    options.kind = options.kind or KINDS
    return options


def main(arguments):
    options = parsed(arguments)
    table, chance, started = Table(), random.Random(options.seed), time.monotonic()
    rows = {("kills", "errors"): calls, ("damage",): damages, ("disks",): disks, ("power",): power, ("storm",): storm}
    for names, row in rows.items():
        if set(names) & set(options.kind):
            work = options.work / names[0]
            work.mkdir()
            row(table, options, work, chance)
            shutil.rmtree(work, ignore_errors=True)
    table.print("all", table.total["cases"], table.total, time.monotonic() - started)
    for line in itertools.islice(table.told, SHOWN):
        print(f"FOUND {line}")
    if len(table.told) > SHOWN:
        print(f"and {len(table.told) - SHOWN} more")
    return 1 if table.told or not table.total["cases"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
