#!/usr/bin/env python3
"""Walks a history as CI would, beside a clone that is never wiped, and lets cargo judge the cache.

`scripts/replay` is the command line. All builds take place at one path, so that their outputs have the same bytes: the
clone that is never wiped is moved there and away again. Standard library only.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import builds

ROW = "{commit:<18} {job:<10} {hot:>3} | {ours:>5} {never:>11} | {stale:>5} {broken:>6} {needless:>8} {mispredicted:>12}"
FAULTS = ("stale", "broken", "needless", "mispredicted")
# Counted findings that are no faults: see `judge_units`.
EXCUSED = ("older", "exchanged", "spared")
NAME = re.compile(r"\w[\w.-]*")
# The number of findings of each kind that are printed.
SHOWN = 6


class Failure(Exception):
    """An error that ends the replay: git or the environment failed, not the program under test."""


def call(*command, cwd=None):
    """Runs a command that must succeed; returns what it prints."""
    done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"`{' '.join(map(str, command))}` failed: {done.stderr.strip()}")
    return done.stdout


# Judging


class Findings:
    """The findings in one of our builds: lines of text by kind."""

    def __init__(self):
        self.of = {kind: [] for kind in (*FAULTS, "unclear", *EXCUSED)}

    def add(self, kind, what, why=""):
        self.of[kind].append(f"{what}: {why}" if why else str(what))

    def count(self, kind):
        return len(self.of[kind])


def judge_units(findings, ours, never, last):
    """Judges the units that our build compiled and the clone that is never wiped did not. The clone has everything
    that it ever built, and we have one tree. A unit that the job did not use at the last commit may be only in an
    `older` tree. And another tree than the job's last is right if less is compiled in all: units are `exchanged`."""
    kind = "needless" if len(ours.compiled) > len(never.compiled) else "exchanged"
    for unit in sorted(ours.compiled - never.compiled):
        if unit in never.units:
            findings.add(kind if unit in last else "older", unit, ours.why(unit))


def judge_forecast(findings, ours, forecast, last):
    """Compares the forecast of a restore, a reason by crate, with the crates that cargo compiled. No restore can
    foretell units that the job never used."""
    compiled = {name.replace("-", "_") for name in ours.packages()}
    known = {builds.package_name(unit.package).replace("-", "_") for unit in ours.compiled if unit in last}
    foretold = {name.replace("-", "_"): why for name, why in forecast.items()}
    for name in sorted(foretold.keys() - compiled):
        findings.add("mispredicted", name, f"foretold ({foretold[name]}), and not compiled")
    reasons = {name.replace("-", "_"): why for name, why in ours.reasons.items()}
    for name in sorted(known - foretold.keys()):
        findings.add("mispredicted", name, f"compiled ({reasons.get(name, 'no reason given')}), and not foretold")


def suspects(ours, never, digests_of_ours, digests_of_never):
    """Returns the units that differ between both builds, or are only in one. Compares the units that were compiled in
    the clone that is never wiped, and all of path crates: a unit that looks fresh to both may be stale in ours."""
    wanted = {unit for unit in never.units if unit.is_of_path() or unit in never.compiled}
    wanted |= ours.units.keys() ^ never.units.keys()
    return {unit for unit in wanted if digests_of_ours.get(unit) != digests_of_never.get(unit)}


# The places


class Places:
    """The paths of a replay, and its git commands."""

    def __init__(self, source, count, work, directory):
        self.work = work
        self.directory = directory
        name = source.resolve().name.removesuffix(".git")
        self.name = name
        self.workspace = work / "workspace" / name
        self.mirror = work / "mirror.git"
        call("git", "clone", "--quiet", "--bare", source, self.mirror)
        head = call("git", "-C", source, "rev-parse", "HEAD").strip()
        call("git", "-C", self.mirror, "config", "uploadpack.allowAnySHA1InWant", "true")
        listed = call("git", "-C", self.mirror, "rev-list", "--first-parent", f"--max-count={count}", head)
        self.commits = listed.split()[::-1]

    def where(self):
        """Returns the directory in which jobs run."""
        return self.workspace / self.directory

    def has_jobs(self, commit):
        """Says whether a commit has the directory in which jobs run."""
        return self.directory == "." or bool(call("git", "-C", self.mirror, "ls-tree", commit, "--", self.directory))

    def check_out(self, commit):
        """Checks out a commit as actions/checkout does; untracked files stay."""
        if not (self.workspace / ".git").exists():
            call("git", "init", "--quiet", "--initial-branch=main", self.workspace)
            call("git", "-C", self.workspace, "remote", "add", "origin", f"file://{self.mirror}")
        branch = "refs/remotes/origin/main"
        fetch = ("fetch", "--quiet", "--no-tags", "--prune", "--no-recurse-submodules", "--depth=1", "origin")
        call("git", "-C", self.workspace, *fetch, f"+{commit}:{branch}")
        call("git", "-C", self.workspace, "checkout", "--quiet", "--force", "-B", "main", branch)

    def wipe(self):
        if self.workspace.exists():
            shutil.rmtree(self.workspace)

    def lock_file(self):
        """Returns the lock file of the workspace if git does not track it, else None. All builds of a commit share it:
        a crate published meanwhile is no fault of the cache."""
        found = subprocess.run(
            ["cargo", "locate-project", "--workspace", "--message-format=plain"],
            cwd=self.where(),
            capture_output=True,
            text=True,
            check=False,
        )
        if found.returncode:
            return None
        lock = Path(found.stdout.strip()).parent / "Cargo.lock"
        tracked = call("git", "-C", self.workspace, "ls-files", "--", lock)
        return None if tracked else lock


# Walking


class Replay:
    """One walk through a history."""

    def __init__(self, args):
        self.args = args
        self.places = Places(args.source, args.count, args.work, args.directory)
        self.modes = [int(it) for it in args.hot_trees.split(",")]
        self.jobs = {}
        for job in args.job:
            name, _, command = job.partition("=")
            if not NAME.fullmatch(name):
                raise ValueError(f"`{name}` is not a name of a job")
            builds.with_messages(command)
            self.jobs.setdefault(name, []).append(command)
        # The units that each job used at the last commit that was built.
        self.last = {}
        # Roles of units that differ between two cold builds.
        self.irreproducible = set()
        self.sums = dict.fromkeys((*FAULTS, "unclear", *EXCUSED, "built", "not built", "never"), 0)
        self.sums |= {("ours", mode): 0 for mode in self.modes}

    def log(self, title, text):
        with self.args.log.open("a") as file:
            file.write(f"\n{title}\n{text}")

    def progress(self, text):
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{text}\033[K")
            sys.stderr.flush()

    def run(self):
        """Walks all commits; returns the exit status."""
        print(ROW.format(commit="commit", job="job", hot="hot", ours="ours", never="never wiped", **{k: k for k in FAULTS}))
        commits = self.places.commits
        for number, commit in enumerate(commits, 1):
            for job in self.jobs:
                self.step(f"{number}/{len(commits)} {commit[:10]}", commit, job)
        self.progress("")
        return self.print_sums(len(commits))

    def step(self, title, commit, job):
        """Builds one commit for one job: in the clone that is never wiped, then in each mode."""
        if not self.places.has_jobs(commit):
            self.print_note(f"{title} {job} not built: it has no directory `{self.args.directory}`")
            self.sums["not built"] += 1
            return
        self.progress(f"{title} {job}: never wiped")
        never, digests, lock = self.build_never_wiped(commit, job)
        truth = Truth(self, commit, job, lock)
        was_built = False
        for mode in self.modes:
            self.progress(f"{title} {job}: hot trees {mode}")
            findings = Findings()
            ours, digests_of_ours, forecast = self.build_ours(commit, job, mode, lock, never, findings)
            note = ""
            if ours.succeeded and never.succeeded:
                was_built = True
                self.compare(findings, job, mode, ours, never, digests_of_ours, digests, forecast, truth)
            elif ours.succeeded and not truth.succeeds():
                findings.add("stale", "the build succeeds, and not from nothing", never.error)
            elif ours.succeeded:
                note = f"not built where never wiped: {never.error}"
            elif never.succeeded:
                findings.add("broken", ours.error)
            else:
                note = f"not built: {ours.error}"
            was_built = was_built or any(findings.of.values())
            self.print_row(title, job, mode, ours, never, findings, note)
        self.sums["built" if was_built else "not built"] += 1
        if was_built:
            self.sums["never"] += len(never.compiled)
        if never.succeeded:
            self.last[job] = set(never.units)

    def build_never_wiped(self, commit, job):
        """Builds in the clone that is never wiped; returns the build, digests, and the lock file if git has none."""
        parked = self.args.work / "never-wiped" / job
        parked.parent.mkdir(exist_ok=True)
        if parked.exists():
            self.places.wipe()
            parked.rename(self.places.workspace)
        self.places.check_out(commit)
        path = self.places.lock_file()
        if path and path.exists():
            path.unlink()
        never = builds.build(self.jobs[job], self.places.where(), self.log)
        digests = never.digests({it for it in never.units if it.is_of_path() or it in never.compiled})
        lock = (path, path.read_bytes()) if path and path.exists() else None
        self.places.workspace.rename(parked)
        return never, digests, lock

    def build_ours(self, commit, job, mode, lock, never, findings):
        """Runs the job of a runner whose workspace is wiped; returns the build, digests, and the restore's forecast:
        None if it restored no target."""
        self.places.wipe()
        self.places.check_out(commit)
        report = self.program("restore", job, mode, findings, "--hot-trees", str(mode))
        put(lock)
        ours = builds.build(self.jobs[job], self.places.where(), self.log)
        wanted = {it for it in ours.units if it.is_of_path() or it in never.compiled or it not in never.units}
        digests = ours.digests(wanted)
        options = ["--hot-trees", str(mode)] if mode else []
        self.program("save", job, mode, findings, *options, *([] if ours.succeeded else ["--partial"]))
        self.collect(mode, findings)
        self.places.wipe()
        forecast = None
        if report and report["hit"] != "miss":
            forecast = {it["crate"]: it["detail"] for it in report.get("rebuilds", [])}
        return ours, digests, forecast

    def collect(self, mode, findings):
        """Runs gc as the end of a job does. The free space of this machine must not matter."""
        limits = ("--disk-threshold", "100%", "--low-water", "100%", "--min-free", "0")
        self.run_program("gc", mode, findings, *limits)

    def program(self, verb, job, mode, findings, *options):
        """Runs a verb of runner-cache in the checkout. `CARGO_HOME` outlives the jobs of a replay, so that nothing is
        downloaded twice."""
        of_job = ("--repository", f"replay/{self.places.name}", "--job", job, "--areas", "target")
        return self.run_program(verb, mode, findings, *of_job, *options)

    def run_program(self, verb, mode, findings, *options):
        """Runs runner-cache; returns its report. Notes a failure among the findings."""
        command = [self.args.program, verb, "--json", "--root", self.args.work / f"store-{mode}", *options]
        run = subprocess.run(command, cwd=self.places.where(), capture_output=True, text=True, check=False)
        self.log(f"$ runner-cache {verb} {' '.join(options)}", run.stderr + run.stdout)
        if run.returncode:
            findings.add("broken", f"`runner-cache {verb}`", f"exit status {run.returncode}")
            return None
        return json.loads(run.stdout)

    def compare(self, findings, job, mode, ours, never, digests_of_ours, digests_of_never, forecast, truth):
        """Judges two builds that succeeded."""
        self.sums["ours", mode] += len(ours.compiled)
        last = self.last.get(job)
        judge_units(findings, ours, never, last or set())
        if forecast is not None and last is not None:
            judge_forecast(findings, ours, forecast, last)
        self.compare_bytes(findings, last, ours, never, digests_of_ours, digests_of_never, truth)

    def compare_bytes(self, findings, last, ours, never, digests_of_ours, digests_of_never, truth):
        """Judges the outputs of the units. If they differ, builds from nothing tell which is right."""
        differ = suspects(ours, never, digests_of_ours, digests_of_never)
        for unit in never.compiled - ours.compiled - differ:
            findings.add("spared", unit)
        doubtful = sorted(unit for unit in differ if unit.role() in self.irreproducible)
        clear = sorted(differ - set(doubtful))
        if clear:
            self.progress(f"{len(clear)} units differ: building twice from nothing")
            first, second = truth.digests(clear)
            for unit in clear:
                if first is None:
                    doubtful.append(unit)
                elif first.get(unit) != second.get(unit):
                    self.irreproducible.add(unit.role())
                    doubtful.append(unit)
                elif digests_of_ours.get(unit) != first.get(unit):
                    why = "compiled from something stale" if unit in ours.compiled else "not compiled"
                    findings.add("stale", unit, why)
        kind = "stale" if self.args.incremental else "unclear"
        for unit in doubtful:
            if last is not None and unit in never.compiled and unit not in ours.compiled:
                findings.add(kind, unit, f"not compiled ({never.why(unit)}), and other than where never wiped")

    def print_row(self, title, job, mode, ours, never, findings, note):
        for kind in findings.of:
            self.sums[kind] += findings.count(kind)
        counts = {kind: findings.count(kind) for kind in FAULTS}
        self.progress("")
        print(ROW.format(commit=title, job=job, hot=mode, ours=len(ours.compiled), never=len(never.compiled), **counts))
        if note:
            self.print_note(f"    {note}")
        for kind in (*FAULTS, "unclear"):
            lines = findings.of[kind]
            for line in lines[:SHOWN]:
                print(f"    {kind}: {line}")
            if len(lines) > SHOWN:
                print(f"    {kind}: and {len(lines) - SHOWN} more")
        sys.stdout.flush()

    def print_note(self, note):
        self.progress("")
        print(note, flush=True)

    def print_sums(self, commits):
        sums = self.sums
        print(f"{commits} commits, {sums['built']} builds compared, {sums['not built']} not built")
        of_modes = ", ".join(f"{sums['ours', mode]} with hot trees {mode}" for mode in self.modes)
        print(f"units compiled: {of_modes}; {sums['never']} where never wiped")
        print(f"no faults: {sums['older']} units compiled that only older trees had, {sums['exchanged']} that a better tree lacked;")
        print(f"  {sums['spared']} not compiled that were where never wiped, to the same bytes")
        print(*(f"{kind.upper()} {sums[kind]}" for kind in (*FAULTS, "unclear")), sep="  ")
        if not sums["built"]:
            print("no commit was built: this shows nothing")
            return 1
        fatal = (*FAULTS, "unclear") if self.args.strict else ("stale", "broken")
        return 1 if any(sums[kind] for kind in fatal) else 0


class Truth:
    """The result of building one commit from nothing; built on demand."""

    def __init__(self, replay, commit, job, lock):
        self.replay, self.commit, self.job, self.lock = replay, commit, job, lock
        self.both = None

    def digests(self, units):
        """Returns the digests of units in two builds, None if a build fails. With incremental compilation, bytes may
        depend on earlier compilations: then None, too."""
        if self.replay.args.incremental:
            return None, None
        first, second = self.builds()
        if first is None or second is None:
            return None, None
        return [{unit: found.get(unit) for unit in units} for found in (first, second)]

    def succeeds(self):
        """Says whether a build from nothing succeeds."""
        return None not in self.builds()

    def builds(self):
        """Returns the digests of all units of two builds; None for a build that fails."""
        if self.both is None:
            self.both = [self.build() for _ in range(2)]
        return self.both

    def build(self):
        places = self.replay.places
        places.wipe()
        places.check_out(self.commit)
        put(self.lock)
        cold = builds.build(self.replay.jobs[self.job], places.where(), self.replay.log)
        digests = cold.digests(cold.units) if cold.succeeded else None
        places.wipe()
        return digests


def put(lock):
    """Writes the lock file that all builds of a commit share."""
    if lock:
        path, content = lock
        path.write_bytes(content)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--job", action="append", required=True, metavar="NAME=COMMAND")
    parser.add_argument("--hot-trees", default="0,2")
    parser.add_argument("--directory", default=".")
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--incremental", action="store_true")
    parser.add_argument("--program", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    try:
        args = parser.parse_args()
        return Replay(args).run()
    except (Failure, ValueError) as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
