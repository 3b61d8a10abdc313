"""What the action does for the workflows of its users, told by a runner that is not ours."""

import json
import os
import signal
import tempfile
import unittest
from pathlib import Path

from host import REPO, Host
from origin import Origin

ALL = ["app", "sounds", "tone"]
BOTH = ["registry 1", "target 1"]
CHORD = "a chord of 440 Hz"
MAIN = "app/src/main.rs"
# A build script that waits until somebody writes to the pipe.
WAITS = """
fn main() {
    let pipe = std::env::var_os("PIPE").expect("the path of a pipe");
    std::fs::read(pipe).expect("what is written to it");
}
"""
LOUDER = """
fn main() {
    println!("{}!", sounds::chord());
}
"""


class Action(unittest.TestCase):
    """Each test is one story, on a runner and an internet of its own."""

    tools = None
    maxDiff = None

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="runner-cache-act-")
        self.addCleanup(directory.cleanup)
        self.dir = Path(directory.name).resolve()
        self.origin = Origin(self.dir / "origin")
        self.addCleanup(self.origin.close)
        self.origin.publish("tone", "1.0.0", "pub const HERTZ: u32 = 440;\n")
        self.host = Host(self.dir, self.tools, self.origin)
        self.host.use("app")
        self.addCleanup(self.host.end_runs)

    def run_on_clean_runner(self, workflow, **variables):
        """A run that finds nothing but the store."""
        self.host.lose_cargo_home()
        self.origin.forget()
        return self.host.run(workflow, **variables)

    def expect(self, run, **facts):
        """Compares what became of a run with `facts`, named as below; shows its log if they differ."""
        found = {
            "exit_status": run.exit_status,
            "jobs": run.jobs,
            "compiled": run.compiled(),
            "downloads": dict(self.origin.downloads),
            "hit": run.outputs("build").get("cache-hit"),
            "said": run.printed("build", "app"),
            "post": run.step("build", "cache", "Post").result,
            "annotations": [
                text for stage in ("Main", "Post") for text in run.step("build", "cache", stage).annotations
            ],
        }
        found = {name: found[name] for name in facts}
        self.assertEqual(found, facts, f"\n{run}")

    def expect_whole_store(self):
        status, said = self.host.runner_cache("verify")
        self.assertEqual(status, 0, said)

    def fill_store(self):
        """The first run of all: nothing is there, everything is built and saved."""
        run = self.run_on_clean_runner("build")
        self.expect(run, exit_status=0, hit="false", compiled=ALL, downloads={"tone": 1}, post="success")

    def expect_full_hit(self):
        """A run for which there is nothing to do."""
        run = self.run_on_clean_runner("build")
        self.expect(run, exit_status=0, hit="true", compiled=[], downloads={}, said=[CHORD])
        self.expect_whole_store()

    def expect_words(self, run, stage, words):
        """Checks that a stage of the action says `words`, in its log and in the summary of the job."""
        step = run.step("build", "cache", stage)
        for word in words:
            self.assertIn(word, "\n".join(step.printed), run)
            self.assertIn(word, step.summary, run)

    def check_two_runs(self):
        """Runs the same commit twice; the second time all is there."""
        both = {"build": "success", "later": "success"}

        first = self.run_on_clean_runner("build")
        self.expect(first, exit_status=0, jobs=both, said=[CHORD], post="success")
        self.expect(first, hit="false", compiled=ALL, downloads={"tone": 1}, annotations=[])
        key = first.outputs("build")["cache-key"]
        self.assertRegex(key, "^[0-9a-f]{64}-[0-9a-f]{64}$")
        self.assertEqual(first.outputs("build")["cache-matched-key"], "")
        self.expect_words(first, "Main", [key])
        self.expect_words(first, "Post", ["registry", "target", "published"])
        self.assertEqual(first.printed("later", "told"), [f"key={key} hit=false"])
        self.assertEqual(self.host.generations(), {"protected": BOTH})

        second = self.run_on_clean_runner("build")
        self.expect(second, exit_status=0, jobs=both, said=[CHORD], post="success")
        self.expect(second, hit="true", compiled=[], downloads={}, annotations=[])
        self.expect_words(second, "Main", [key, "exact", "unpack"])
        self.expect_words(second, "Post", ["registry", "unchanged"])
        self.assertEqual(second.outputs("build")["cache-key"], key)
        self.assertEqual(second.outputs("build")["cache-matched-key"], key)
        self.assertEqual(second.printed("later", "told"), [f"key={key} hit=true"])
        areas = {area["name"]: area["hit"] for area in json.loads(second.outputs("build")["areas"])}
        self.assertEqual(areas["registry"], "exact")
        self.assertEqual(areas["target"], "exact")
        self.expect_whole_store()

    def test_a_second_run_hits_and_compiles_nothing_on_node_20(self):
        self.host.node = self.tools.nodes["20"]
        self.check_two_runs()

    def test_a_second_run_hits_and_compiles_nothing_on_node_24(self):
        self.host.node = self.tools.nodes["24"]
        self.check_two_runs()

    def test_a_second_run_hits_and_compiles_nothing_in_the_action_s_own_repo(self):
        # Node 20 is the one that asks the nearest package.json what a `.node` file is.
        self.host.node = self.tools.nodes["20"]
        self.host.own_action()
        self.check_two_runs()

    def test_an_edit_compiles_what_depends_on_it_and_nothing_else(self):
        self.fill_store()
        self.host.commit({MAIN: LOUDER})
        run = self.run_on_clean_runner("build")
        self.expect(run, exit_status=0, hit="true", compiled=["app"], downloads={}, said=[f"{CHORD}!"])

    def test_a_failing_build_fails_the_job_and_still_saves(self):
        text = (self.host.repo / MAIN).read_text()
        self.host.commit({MAIN: "this is not Rust\n"})
        failed = self.run_on_clean_runner("build")
        self.expect(failed, exit_status=1, compiled=ALL, said=[], post="success")
        self.assertEqual(failed.jobs["build"], "failure", failed)
        self.assertEqual(self.host.generations(), {"protected": BOTH}, failed)

        self.host.commit({MAIN: text})
        mended = self.run_on_clean_runner("build")
        self.expect(mended, exit_status=0, compiled=["app"], downloads={}, said=[CHORD])
        self.expect_whole_store()

    def test_a_run_that_is_stopped_in_main_leaves_the_store_usable(self):
        self.fill_store()
        self.origin.add_repository("sounds")
        for stop, exit_status in ("cancel", 1), ("kill", -signal.SIGKILL):
            with self.origin.hold("btcdecoded/sounds") as came:
                started = self.host.start("build", DEPENDENCIES="btcdecoded/sounds@main")
                self.assertTrue(came.wait(60), "nobody asks for the dependency")
                getattr(started, stop)()
            run = started.finish()
            self.expect(run, exit_status=exit_status, compiled=[])
            self.expect_whole_store()
        self.expect_full_hit()

    def test_a_run_that_is_stopped_in_the_build_leaves_the_store_usable(self):
        pipe = self.dir / "pipe"
        os.mkfifo(pipe)
        self.host.commit({"app/build.rs": WAITS})
        cases = [("kill", -signal.SIGKILL, {}), ("cancel", 1, {"protected": BOTH})]
        for stop, exit_status, saved in cases:
            self.host.lose_cargo_home()
            started = self.host.start("build", PIPE=pipe)
            with started.opened_by_reader(pipe):
                getattr(started, stop)()
                run = started.finish()
            self.expect(run, exit_status=exit_status, said=[])
            self.assertEqual(self.host.generations(), saved, run)
            self.expect_whole_store()
        self.host.commit({"app/build.rs": None})
        run = self.run_on_clean_runner("build")
        self.expect(run, exit_status=0, said=[CHORD], downloads={})
        self.expect_full_hit()

    def test_a_step_that_dies_costs_nothing_but_time(self):
        self.fill_store()
        text = (self.host.repo / MAIN).read_text()
        cases = [("restore: staged", "failure", "success"), ("save: packs visible", "success", "failure")]
        for point, main, post in cases:
            self.host.commit({MAIN: f"// Changed for `{point}`.\n{text}"})
            run = self.run_on_clean_runner("build", RUNNER_CACHE_CRASH_AT=point)
            self.assertEqual(run.step("build", "cache").result, main, run)
            self.assertEqual(run.step("build", "cache", "Post").result, post, run)
            self.expect_whole_store()
        self.host.commit({MAIN: text})
        self.expect_full_hit()

    def test_restore_and_save_can_be_steps_of_their_own(self):
        first = self.run_on_clean_runner("steps")
        self.expect(first, exit_status=0, hit="false", compiled=ALL, said=[CHORD])
        self.assertEqual(self.host.generations(), {"protected": BOTH}, first)
        second = self.run_on_clean_runner("steps")
        self.expect(second, exit_status=0, hit="true", compiled=[], downloads={}, said=[CHORD])

    def test_two_jobs_at_once_share_one_store(self):
        for turn, compiled in ("first", ALL), ("second", []):
            meeting = self.dir / turn
            meeting.mkdir()
            run = self.run_on_clean_runner("both", MEETING=meeting)
            self.assertEqual(run.jobs, {"build left": "success", "build right": "success"}, run)
            for job in run.jobs:
                self.assertEqual(run.compiled(job), compiled, run)
                self.assertEqual(run.step(job, "cache", "Post").result, "success", run)
                self.assertEqual(run.outputs(job)["cache-hit"], "true" if turn == "second" else "false", run)
            self.expect_whole_store()

    def test_what_a_pull_request_built_is_not_restored_on_main(self):
        self.fill_store()
        self.host.commit({MAIN: LOUDER})
        repo = {"full_name": REPO}
        head, base = {"ref": "topic", "repo": repo}, {"ref": "main", "repo": repo}
        request = {"number": 7, "head": head, "base": base}
        self.host.comes_with("pull_request", number=7, pull_request=request)
        for compiled in ["app"], []:
            run = self.run_on_clean_runner("build")
            self.expect(run, exit_status=0, hit="true", compiled=compiled, said=[f"{CHORD}!"])
            found = self.host.generations()
            self.assertEqual((sorted(found), found["protected"]), (["pr/7", "protected"], BOTH), run)

        self.host.comes_with("push", ref="refs/heads/main")
        run = self.run_on_clean_runner("build")
        self.expect(run, exit_status=0, hit="true", compiled=["app"], said=[f"{CHORD}!"])

    def test_jobs_use_the_keys_and_commits_that_a_setup_job_found(self):
        commit = self.origin.add_repository("sounds")
        self.host.use("app-beside")
        run = self.run_on_clean_runner("setup", ORIGIN=self.origin.repositories)

        jobs = ["setup", "each build", "each test", "each doc"]
        self.assertEqual(run.jobs, dict.fromkeys(jobs, "success"), run)
        found = run.outputs("setup", "keys")
        self.assertEqual(json.loads(found["dependency-refs"]), {"sounds": commit}, run)
        for job in jobs[1:]:
            self.assertEqual(run.outputs(job)["cache-key"], found["cache-key"], run)
            self.assertEqual(run.printed(job, "commit"), [commit], run)
        self.assertEqual(dict(self.origin.fetches), {"btcdecoded/sounds": 1}, run)
        self.expect_whole_store()
