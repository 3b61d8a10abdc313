"""Runs workflows with `act`, on the host itself, and reads what became of them."""

import ctypes
import errno
import json
import os
import re
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

# The slowest run takes seconds. One that takes this long hangs.
LIMIT_SECONDS = 120
PR_SET_CHILD_SUBREAPER = 36
COLOUR = re.compile("\x1b\\[[0-9;]*m")


def adopt_orphans():
    """Makes the children of killed processes ours, so that we can wait for their end."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot become the subreaper")


@dataclass
class Step:
    """One stage of one step: `Main` or `Post`."""

    result: str = "not run"
    outputs: dict = field(default_factory=dict)
    printed: list = field(default_factory=list)
    annotations: list = field(default_factory=list)
    summary: str = ""


class Run:
    """What became of one run of a workflow.

    A job is named as in the workflow, with the values of its matrix: `build`, `build left`. A job of a workflow
    that another job calls has that one's name before it: `ci/build`.
    """

    def __init__(self, exit_status, log):
        self.exit_status = exit_status
        self.jobs = {}
        self.steps = {}
        self.text = []
        for line in log.splitlines():
            try:
                self.read(json.loads(line))
            except ValueError:
                self.text.append(line)

    def read(self, line):
        job = " ".join([line.get("jobID", "act"), *map(str, (line.get("matrix") or {}).values())])
        # The name of a workflow and of a job; before them, that of the job which calls the workflow.
        match line.get("job", "").split("/"):
            case [caller, _, _]:
                job = f"{caller}/{job}"
        self.text.append(f"[{job}] {line['msg'].rstrip()}")
        if "jobResult" in line:
            self.jobs[job] = line["jobResult"]
        if "stage" not in line:
            return
        step = self.steps.setdefault((job, line["stepID"][0], line["stage"]), Step())
        if line.get("raw_output"):
            step.printed.append(COLOUR.sub("", line["msg"].rstrip("\r\n")))
        match line.get("command"):
            case "set-output":
                step.outputs[line["name"]] = line["arg"]
            case "notice" | "warning" | "error" as level:
                step.annotations.append(f"{level}: {line['arg']}")
            case "summary":
                step.summary += line["content"]
        step.result = line.get("stepResult", step.result)

    def step(self, job, step_id, stage="Main"):
        return self.steps.get((job, step_id, stage), Step())

    def outputs(self, job, step_id="cache"):
        return self.step(job, step_id).outputs

    def printed(self, job, step_id):
        return self.step(job, step_id).printed

    def compiled(self, job="build", step_id="build"):
        """Returns the names of the crates that a step compiled."""
        words = (line.split() for line in self.printed(job, step_id))
        return sorted(line[1] for line in words if line[:1] == ["Compiling"])

    def __str__(self):
        return "\n".join([f"act ended with {self.exit_status} and said:", *self.text])


class Started:
    """A run that goes on."""

    def __init__(self, command, environment, log):
        self.log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def cancel(self):
        """Asks act to stop: it kills the step that runs, and then runs what is to follow.

        GitHub's runner ends all that the step started. act ends the first process alone and leaves the others to a
        hangup, which on a busy machine comes after the steps that follow; so we end those.
        """
        step = descendants(self.process.pid)
        self.process.send_signal(signal.SIGINT)
        patience = time.monotonic() + LIMIT_SECONDS
        while step := step & descendants(os.getpid()):
            if time.monotonic() > patience:
                raise AssertionError(f"act does not end the step: {step} go on\n{self.finish()}")
            for orphan in step & set(children(os.getpid())):
                os.kill(orphan, signal.SIGKILL)
                os.waitpid(orphan, 0)
            time.sleep(0.01)

    def kill(self):
        """Ends act as a power cut would: nothing follows."""
        self.process.kill()

    def finish(self):
        """Waits for the end of the run and of all that it left behind."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(LIMIT_SECONDS)
        hangs = self.process.poll() is None
        self.end()
        log = self.log.read_text(errors="replace")
        return Run(f"nothing in {LIMIT_SECONDS} s" if hangs else self.process.returncode, log)

    def end(self):
        """Ends the run if it still goes on, and all that it left behind."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        wait_for_orphans()

    @contextmanager
    def opened_by_reader(self, pipe):
        """Waits until the run reads from a named pipe; it then waits for us until the end of the block."""
        patience = time.monotonic() + LIMIT_SECONDS
        while (writer := open_for_reader(pipe)) is None:
            if self.process.poll() is not None or time.monotonic() > patience:
                raise AssertionError(f"nobody reads from {pipe}\n{self.finish()}")
            time.sleep(0.01)
        try:
            yield
        finally:
            os.close(writer)


def open_for_reader(pipe):
    """Opens a named pipe for writing, if somebody reads from it."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise


def wait_for_orphans():
    """Waits until no process that a run started is left; ends those that do not end by themselves."""
    patience = time.monotonic() + LIMIT_SECONDS
    while orphans := children(os.getpid()):
        if time.monotonic() > patience:
            for orphan in orphans:
                os.kill(orphan, signal.SIGKILL)
        # Whoever started it may have reaped it.
        with suppress(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
        time.sleep(0.01)


def children(parent):
    """Returns the child processes of one process."""
    return [process for process, of in parents().items() if of == parent]


def descendants(process):
    """Returns the processes that a process started, and that those started, as far as their parents still run."""
    of = parents()
    found, new = set(), {process}
    while new := {one for one, parent in of.items() if parent in new}:
        found |= new
    return found


def parents():
    """Returns the parent of each process."""
    found = {}
    for process in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{process}/stat") as file:
            # After the name, which may hold anything: state, parent.
            found[int(process)] = int(file.read().rpartition(")")[2].split()[1])
    return found
