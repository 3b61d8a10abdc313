"""The kinds of faults of `scripts/soak-faults`: each yields cases, and a case raises `Fault` if something is wrong."""

import contextlib
import os
import random
import re
import shutil
import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fault_host import Fault, Host, listing, write_tree

# Calls that change files, or their names, times and modes, or make them durable.
WRITES = (
    "write,pwrite64,writev,pwritev,pwritev2,copy_file_range,sendfile,ftruncate,truncate,fallocate,fsync,fdatasync,syncfs,"
    "sync_file_range,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,mkdir,mkdirat,utimensat,"
    "chmod,fchmod,fchmodat,fchown,fchownat,flock,ioctl"
)
READS = "openat,openat2,read,pread64,readv,getdents64,statx,newfstatat,readlink,readlinkat,lseek"
ERRORS = ("EIO", "ENOSPC", "EINTR", "EACCES")
# The symlink that marks a directory of the program, see docs/decisions/0031-marked-directories.md.
MARK = ".runner-cache-mark"
KILLED = "a kill"
# Files on which no disk can fail; the file of an interrupted call is unknown.
NO_FILE = re.compile(r"<(pipe|socket|anon_inode|UNIX|/dev/|\.\.\. )")


class Skip(Exception):
    """The fault did not happen: the program made fewer such calls this time."""


# Kills and errors, call by call


class Scene:
    """A command and the state before it runs, a copy of a state that is created once."""

    def __init__(self, name, verb, options, work, program, lay):
        self.name, self.verb, self.options, self.program = name, verb, options, program
        self.template = work / f"scene-{name}"
        host = Host(self.template, program).make()
        lay(host)
        self.saved = host.saved

    def copy(self, base):
        subprocess.run(["cp", "--archive", "--reflink=auto", self.template, base], check=True)
        return Host(base, self.program, saved=set(self.saved))

    def calls(self, base, calls):
        """Returns how often the command makes each call, counted in the thread that makes it most often."""
        host, log = self.copy(base), base.with_suffix(".calls")
        host.run(self.verb, *self.options, under=("strace", "-f", "-qq", "-e", f"trace={calls}", "-e", "signal=none", "-o", str(log)))
        made = Counter(re.findall(r"^(\d+) +(\w+)\(", log.read_text(errors="replace"), re.MULTILINE))
        shutil.rmtree(base)
        log.unlink()
        most = Counter()
        for (_, call), count in made.items():
            most[call] = max(most[call], count)
        return most

    def fault(self, base, call, nth, fault):
        """Injects `fault` at the `nth` such call of a thread, and judges the state afterwards."""
        host, log = self.copy(base), base.with_suffix(".strace")
        before, left = host.outside_now(), listing(host.target)
        inject = "signal=KILL" if fault == KILLED else f"error={fault}"
        under = ("strace", "-f", "-qq", "-y", "-e", f"trace={call}", "-e", "signal=none", "-o", str(log))
        done = host.run(self.verb, *self.options, under=(*under, "-e", f"inject={call}:{inject}:when={nth}"))
        if fault == KILLED and not done.killed or fault != KILLED and not is_failed(log):
            raise Skip
        host.judge_end(self.verb, done)
        if fault == KILLED:
            # A kill between the last rename and this removal leaves the mark. It is no part of any tree, and the next
            # restore or save removes it.
            (host.target / MARK).unlink(missing_ok=True)
        self.judge(host, done, call, fault, left)
        host.judge_outside(before)
        had = bool(host.saved)
        if self.verb == "save":
            host.saved.add("new")
            # Unreadable files are left out, and the program says so.
            host.lacking = {"new"} if fault != KILLED and "warning:" in done.err else set()
        host.recover(must_have=host.saved if had else (), first=had)
        shutil.rmtree(base)
        log.unlink()

    def judge(self, host, done, call, fault, left):
        # The error may have hit the message itself.
        is_said = any(word in done.err for word in ("error:", "warning:", "error while loading")) or call == "write"
        if fault != KILLED and done.status not in (0, 3) and not is_said:
            raise Fault("unexplained", f"{self.verb} ended with {done.status} and no reason: {done.err.strip()}")
        host.judge_home()
        if listing(host.target) == left or self.verb == "save" and "hot" in self.name:
            return
        if self.verb != "restore":
            raise Fault("wrong bytes", f"{self.verb} changed the target")
        host.judge_target(self.saved)


def is_failed(log):
    """Tells whether calls failed, and only calls that can fail: each thread has an n-th call."""
    failed = [line for line in log.read_text(errors="replace").splitlines() if "(INJECTED)" in line]
    return bool(failed) and not any(NO_FILE.search(line) for line in failed)


def scenes(work, program):
    """Returns every scene."""

    def saved(host):
        host.save_tree("old")

    def to_save(host):
        saved(host)
        write_tree(host.target, "new")

    def to_restore(host):
        saved(host)
        host.clear()

    def over_another(host):
        saved(host)
        write_tree(host.target, "another")

    def first(host):
        write_tree(host.target, "new")

    def to_collect(host):
        for label in ("older", "old"):
            host.save_tree(label)
        # Only one of them is kept, so only that one must come back.
        host.saved = {"old"}

    def put_by(host):
        saved(host)
        host.done("save", "--hot-trees", "2")

    laid = [
        ("first-save", "save", (), first),
        ("save", "save", (), to_save),
        ("save-hot", "save", ("--hot-trees", "2"), to_save),
        ("restore", "restore", (), to_restore),
        ("restore-over", "restore", (), over_another),
        ("restore-hot", "restore", (), put_by),
        ("gc", "gc", ("--generations", "1"), to_collect),
        ("verify", "verify", (), saved),
    ]
    return [Scene(name, verb, options, work, program, lay) for name, verb, options, lay in laid]


def call_cases(scene, work, calls, faults):
    """Returns a case for each of `calls` that the command makes, however often, and each of `faults`."""
    made = scene.calls(work / f"count-{scene.name}", calls)
    for call, count in sorted(made.items()):
        for nth in range(1, count + 1):
            for fault in faults:
                yield f"{scene.name}: {fault} at {call} {nth}", lambda base, at=(call, nth, fault): scene.fault(base, *at)


# Damage of each file of a store


def zero(path):
    path.write_bytes(bytes(path.stat().st_size))


def flip(path):
    content = bytearray(path.read_bytes())
    if not content:
        raise Skip
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def replace(path, by):
    path.unlink()
    by(path)


DAMAGES = {
    "emptied": lambda path: os.truncate(path, 0),
    "cut in half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "zeroed": zero,
    "one bit flipped": flip,
    "removed": Path.unlink,
    "another file": lambda path: path.write_bytes(random.Random(1).randbytes(5000)),
    "a directory": lambda path: replace(path, Path.mkdir),
    "a symlink to itself": lambda path: replace(path, lambda path: path.symlink_to(path.name)),
    "a fifo": lambda path: replace(path, os.mkfifo),
    "a gigabyte of nothing": lambda path: os.truncate(path, 1 << 30),
}


def damage_cases(scene):
    """Returns a case for each file of the store and each damage; `scene` has one generation saved."""
    files = sorted(str(path.relative_to(scene.template)) for path in (scene.template / "store").rglob("*") if path.is_file())
    for file in files:
        for what, damage in DAMAGES.items():
            yield f"{file} {what}", lambda base, at=(file, damage): damage_one(scene, base, *at)


def damage_one(scene, base, file, damage):
    host = scene.copy(base)
    damage(base / file)
    before = host.outside_now()
    host.run("verify")
    host.clear()
    restored = host.run("restore")
    host.judge_target(host.saved)
    host.judge_home()
    if restored.status != 0 and "error:" not in restored.err:
        raise Fault("unexplained", f"restore ended with {restored.status} and no reason: {restored.err.strip()}")
    write_tree(host.target, "after the fault")
    saved = host.run("save")
    if file == "store/store.json" and saved.status == 1 and "help:" in saved.err:
        # The program leaves a store alone that it does not understand, and says so.
        host.judge_outside(before)
        shutil.rmtree(base)
        return
    if saved.status != 0:
        raise Fault("damage", f"save fails afterwards ({saved.status}): {saved.err.strip()}")
    host.clear()
    host.done("restore")
    host.judge_target({"after the fault"}, allowed_absent=False)
    host.judge_home()
    host.done("gc")
    host.judge_outside(before)
    shutil.rmtree(base)


# Small disks


def mount(*arguments):
    subprocess.run(["mount", *map(str, arguments)], check=True)


@contextlib.contextmanager
def mounted(place, *arguments):
    place.mkdir(parents=True, exist_ok=True)
    mount(*arguments, place)
    try:
        yield
    finally:
        # Unmount lazily: a killed process may not be gone yet.
        subprocess.run(["umount", "--lazy", str(place)], check=True)
        place.rmdir()


def disk_cases(program, count):
    """Returns cases of disks, from one with nearly no space to one with space for everything."""
    for number in range(count):
        kilobytes = 900 + number * 3600 // count
        yield f"a disk of {kilobytes} kB", lambda base, at=f"size={kilobytes}k": small_disk(program, base, at)
    for number in range(count // 3):
        inodes = 60 + number * 240 // max(count // 3, 1)
        yield f"a disk of {inodes} inodes", lambda base, at=f"nr_inodes={inodes}": small_disk(program, base, at)


def small_disk(program, base, option):
    with mounted(base, "-t", "tmpfs", "-o", "size=64m,mode=0755", "tmpfs"):
        host = Host(base / "host", program).make()
        host.save_tree("old")
        write_tree(host.target, "new")
        before = host.outside_now()
        tighten(base, option)
        saved = host.run("save")
        host.saved.add("new")
        host.verify()
        host.judge_target({"new"}, allowed_absent=False)
        host.clear()
        host.run("restore")
        host.judge_target(host.saved)
        host.judge_home()
        host.judge_outside(before)
        mount("-o", "remount,size=64m,nr_inodes=100000", base)
        # A save without space drops the least missed generations and says so: then none need be there.
        host.recover(must_have={"new"} if saved.modes().get("target") == "published" else ())


def tighten(base, option):
    """Shrinks the disk to the size in `option`, or to the size of its contents."""
    facts = os.statvfs(base)
    used = {"size": (facts.f_blocks - facts.f_bfree) * facts.f_bsize // 1024, "nr_inodes": facts.f_files - facts.f_ffree}
    name, _, wanted = option.partition("=")
    number = max(int(wanted.rstrip("k")), used[name] + 1)
    mount("-o", f"remount,{name}={number}{'k' if name == 'size' else ''}", base)


# Loss of power


class PowerCuts:
    """An ext4 whose image is copied at random moments while jobs save, restore and collect on it. The image lies on an XFS,
    where a copy is atomic; it lacks everything that the kernel has not written yet."""

    def __init__(self, program, work, count, seed):
        self.program, self.work, self.count, self.chance = program, work, count, random.Random(seed)
        self.disk, self.host_disk = work / "power", work / "power-host"
        # For each moment: its image, what was saved for certain, and what may be saved.
        self.moments = []

    def record(self):
        image = self.host_disk / "disk.img"
        with open(image, "wb") as file:
            file.truncate(160 << 20)
        subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
        with mounted(self.disk, "-o", "loop,commit=1", image):
            host = Host(self.disk / "host", self.program).make()
            host.save_tree("label 000")
            os.sync()
            state = {"certain": ["label 000"], "begun": ["label 000"], "over": False}
            thread = threading.Thread(target=self.jobs, args=(host, state))
            thread.start()
            try:
                for number in range(self.count):
                    self.wait_for_a_save(state)
                    # At times longer than the filesystem delays its writes.
                    time.sleep(self.chance.uniform(0, 1.3))
                    certain = state["certain"][-1]
                    copy = self.host_disk / f"moment-{number}.img"
                    subprocess.run(["cp", "--reflink=always", str(image), str(copy)], check=True)
                    self.moments.append((copy, certain, list(state["begun"])))
            finally:
                state["over"] = True
                thread.join()
            if "failed" in state:
                raise state["failed"]

    def wait_for_a_save(self, state):
        saves, patience = len(state["certain"]), time.monotonic() + 20
        while len(state["certain"]) == saves and time.monotonic() < patience and "failed" not in state:
            time.sleep(0.02)

    def jobs(self, host, state):
        """Runs one job after another: restore, build, save; now and then a gc."""
        number = 0
        try:
            while not state["over"]:
                number += 1
                label = f"label {number:03}"
                host.clear()
                host.done("restore")
                host.judge_target(set(state["begun"]), allowed_absent=False)
                write_tree(host.target, label)
                state["begun"].append(label)
                host.done("save")
                state["certain"].append(label)
                if number % 3 == 0:
                    host.done("gc", "--generations", "2")
        except (Fault, OSError) as error:
            # Passed on to the caller that waits for the thread.
            state["failed"] = error

    def cases(self):
        for number, moment in enumerate(self.moments):
            yield f"power cut {number}", lambda _, at=moment: self.judge(*at)

    def judge(self, image, certain, begun):
        boot = self.work / "boot-id"
        boot.write_text(f"{self.chance.getrandbits(32):08x}-0000-4000-8000-000000000000\n")
        # Records of a boot count only in that boot: the kernel gives each boot another id.
        mount("--bind", boot, "/proc/sys/kernel/random/boot_id")
        try:
            with mounted(self.disk, "-o", "loop", image):
                host = Host(self.disk / "host", self.program, saved=set(begun))
                before = host.outside_now()
                host.done("verify")
                # A file that was half written at the power cut is repaired in place.
                host.done("restore")
                later = begun[begun.index(certain) :]
                label = host.judge_target(set(begun), allowed_absent=False)
                if label not in later:
                    raise Fault("damage", f"`{certain}` was saved before the power went, and `{label}` is restored")
                host.judge_home()
                host.judge_outside(before)
                host.recover(must_have=set(later), first=False)
        finally:
            subprocess.run(["umount", "/proc/sys/kernel/random/boot_id"], check=True)
            image.unlink()


# Many at once


def remove_beside_others(directory):
    """Removes a directory in which another process may be removing leftovers of a dead process."""
    while directory.exists():
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(directory)


class Storm:
    """Processes that save, restore, collect and verify one store at once, and are killed at any moment."""

    def __init__(self, program, work, processes, seconds, seed):
        self.program, self.work, self.processes, self.seed = program, work, processes, seed
        self.end = time.monotonic() + seconds
        self.commands = self.kills = 0
        self.lock = threading.Lock()
        self.begun = {"first"}

    def run(self):
        """Runs them and returns the findings."""
        host = Host(self.work / "storm", self.program, timeout=300).make()
        host.save_tree("first")
        before = host.outside_now()
        with ThreadPoolExecutor(self.processes) as pool:
            found = [fault for faults in pool.map(lambda number: self.work_at(host, number), range(self.processes)) for fault in faults]
        try:
            host.judge_outside(before)
            host.saved = set(self.begun)
            host.recover(must_have=host.saved)
        except Fault as fault:
            found.append(fault)
        return found

    def work_at(self, host, number):
        chance, found, round_number = random.Random(self.seed * 1000 + number), [], 0
        built, restored = host.base / f"built-{number}", host.base / f"restored-{number}"
        while time.monotonic() < self.end:
            round_number += 1
            try:
                self.one(host, chance, f"{number:03} round {round_number:03}", built, restored)
            except Fault as fault:
                found.append(fault)
        return found

    def one(self, host, chance, label, built, restored):
        verb = chance.choices(("save", "restore", "gc", "verify"), (4, 5, 1, 1))[0]
        kill_after = chance.uniform(0.01, 1.5) if chance.random() < 0.35 else None
        target, options = None, ()
        if verb == "save":
            write_tree(built, label)
            with self.lock:
                self.begun.add(label)
            target = built
        elif verb == "restore":
            target = restored
            if chance.random() < 0.5 and restored.exists():
                remove_beside_others(restored)
        elif verb == "gc":
            options = ("--generations", "2")
        done = host.run(verb, *options, target=target, kill_after=kill_after)
        with self.lock:
            self.commands += 1
            self.kills += done.killed
            begun = set(self.begun)
        if not done.killed and done.status != 0:
            column = "damage" if verb == "verify" else "unexplained"
            raise Fault(column, f"{verb} ended with {done.status}: {done.err.strip() or done.out.strip()}")
        if verb == "restore":
            # Outside of the checkouts a restore stages inside the target. The next command of any process removes what a
            # killed one left there, maybe just now.
            host.judge_target(begun, target=restored, staged_there=True)
            host.judge_home()
