"""What a change in one repo of a chain starts in the others, told by a runner that is not ours."""

import subprocess
import tempfile
import unittest
from pathlib import Path

from organisation import Organisation
from origin import OWNER, Origin

CHECKS = ["test", "clippy", "fmt", "docs", "build", "security"]
CHECKED = [f"ci/check {check}" for check in CHECKS]
# The jobs of the orchestrator of the examples.
REPOS = ["consensus", "protocol", "node", "sdk", "governance-app"]
BUILT = ["verify-consensus/verify", *(f"build-{name}/build" for name in REPOS)]


class Chain(unittest.TestCase):
    """Each test is one story of one organisation."""

    tools = None
    maxDiff = None

    def found(self, example):
        directory = tempfile.TemporaryDirectory(prefix="runner-cache-act-")
        self.addCleanup(directory.cleanup)
        path = Path(directory.name).resolve()
        self.origin = Origin(path / "origin")
        self.addCleanup(self.origin.close)
        self.origin.publish("tone", "1.0.0", "pub const HERTZ: u32 = 440;\n")
        self.here = Organisation(path, self.tools, self.origin, example)
        self.addCleanup(self.here.close)

    def expect_jobs(self, run, jobs):
        """Checks that a run was a success, and of exactly these jobs."""
        self.assertEqual(run.exit_status, 0, f"\n{run}")
        self.assertEqual(run.jobs, dict.fromkeys(jobs, "success"), f"\n{run}")

    def push(self, repository):
        return self.here.run(repository, "chain", "push", ref="refs/heads/main")

    def log_of(self, repository):
        """Returns what the commit on which a chain began says of it: repos, and how it went there."""
        statuses = self.here.github.state()["statuses"]
        found = statuses[f"{OWNER}/{repository}@{self.here.head(repository)}"]
        return [(status["context"].split("/")[-1], status["state"]) for status in found]

    def test_a_push_goes_down_to_the_last_repo_and_builds_each_once(self):
        self.found("dispatch.toml")
        self.assertEqual(self.here.init("--check")[0], 0)

        self.expect_jobs(self.push("bllvm-spec"), ["receive/receive", "dispatch/dispatch"])
        names = ["bllvm-consensus", "bllvm-protocol", "bllvm-sdk", "bllvm-node"]
        runs = self.here.settle()
        self.assertEqual([name for name, _ in runs], names)
        for _, run in runs:
            jobs = ["receive/receive", "ci/setup", *CHECKED, "build/build", "dispatch/dispatch"]
            self.expect_jobs(run, jobs)
        log = [("bllvm-spec", "success")]
        log += [(name, state) for name in names for state in ("pending", "success")]
        self.assertEqual(self.log_of("bllvm-spec"), log)

        # The same event again: the repo was built.
        again = self.here.dispatches()[1]
        payload = {"action": again["event_type"], "client_payload": again["client_payload"]}
        run = self.here.run("bllvm-protocol", "chain", "repository_dispatch", **payload)
        self.expect_jobs(run, ["receive/receive"])
        self.assertEqual(len(self.here.dispatches()), len(names))

        # What a pull request asks for is checked, with what is built already, and stays here.
        run = self.ask_to_pull("bllvm-node")
        self.assertEqual(run.outputs("ci/check test")["cache-hit"], "true", run)
        # Act gives each job another directory, and cargo hashes where the dependencies beside it are.
        self.assertEqual(run.compiled("ci/check test", "check"), sorted(names), run)

        # The same without the cache, which guards the disk all the same.
        self.here.set_input("bllvm-node", "ci", "use_cache: false")
        run = self.ask_to_pull("bllvm-node")
        self.assertEqual(run.outputs("ci/check test")["cache-hit"], "false", run)
        self.assertEqual(run.compiled("ci/check test", "check"), sorted(["tone", *names]), run)
        guarded = [line for line in run.text if line.startswith("[ci/check test]") and "Main Guard the disk" in line]
        self.assertTrue(guarded, run)
        self.assertEqual(len(self.here.dispatches()), len(names))

    def ask_to_pull(self, repository):
        """Runs what a pull request starts, which is the checks."""
        repo = {"full_name": f"{OWNER}/{repository}", "fork": False}
        request = {"number": 7, "head": {"ref": "topic", "repo": repo}, "base": {"ref": "main", "repo": repo}}
        run = self.here.run(repository, "chain", "pull_request", number=7, pull_request=request)
        self.expect_jobs(run, ["receive/receive", "ci/setup", *CHECKED])
        return run

    def test_a_release_keeps_what_is_built_down_to_the_last_repo(self):
        self.found("dispatch.toml")
        self.here.set_input("bllvm-node", "build", "verify_deterministic: true")
        release = {"tag_name": "v0.2.0", "target_commitish": "main", "prerelease": False, "draft": False}
        run = self.here.run("bllvm-sdk", "chain", "release", action="published", release=release)
        self.assertEqual(run.exit_status, 0, f"\n{run}")
        runs = self.here.settle()
        self.assertEqual([name for name, _ in runs], ["bllvm-node"])
        self.assertEqual(runs[0][1].exit_status, 0, f"\n{runs[0][1]}")
        self.assertEqual(self.here.dispatches()[0]["client_payload"]["version"], "v0.2.0")

        self.assertIn("bllvm-node: OK", runs[0][1].printed("build/build", "build"), runs[0][1])

        kept = sorted(path.name for path in self.here.artifacts.iterdir())
        self.assertEqual(kept, ["bllvm-node", "bllvm-sdk"])
        program = self.here.artifacts / "bllvm-node/bllvm-node"
        program.chmod(0o755)
        said = subprocess.run([program], capture_output=True, text=True, check=True).stdout
        names = ["440", "bllvm-consensus", "bllvm-protocol", "bllvm-sdk", "bllvm-node"]
        self.assertEqual(said.strip(), " > ".join(names))

    def test_a_repo_that_does_not_build_tells_nobody(self):
        self.found("dispatch.toml")
        (self.here.dir / "bllvm-sdk/src/lib.rs").write_text("this is not Rust\n")
        self.here.push("bllvm-sdk", "a mistake")
        run = self.push("bllvm-sdk")
        self.assertEqual(run.exit_status, 1, f"\n{run}")
        # Act stops here, where GitHub would go on with the job that writes the failure down.
        self.assertNotIn("build/build", run.jobs, run)
        self.assertEqual(self.here.dispatches(), [], run)

    def test_the_orchestrator_builds_what_a_change_concerns(self):
        self.found("orchestrator.toml")
        self.assertEqual(self.here.init("--check")[0], 0)
        cases = [("governance-app", BUILT[-1:]), ("bllvm-protocol", BUILT[2:])]
        for turn, (repository, built) in enumerate(cases):
            run = self.push(repository)
            self.expect_jobs(run, ["receive/receive", "ci/setup", *CHECKED, "dispatch/dispatch"])
            sent = self.here.dispatches()
            self.assertEqual(len(sent), turn + 1, sent)
            self.assertEqual(sent[turn]["repository"], f"{OWNER}/bllvm")
            payload = {"action": sent[turn]["event_type"], "client_payload": sent[turn]["client_payload"]}
            run = self.here.run("bllvm", "release-orchestrator", "repository_dispatch", **payload)
            self.expect_jobs(run, ["plan/plan", *built, "report/dispatch"])
            # The commit that was pushed says how each repo went, and all of them.
            names = sorted(job.split("/")[0].removeprefix("build-") for job in built)
            log = [("all", "pending"), *((name, "success") for name in [*names, "all"])]
            self.assertEqual(self.log_of(repository), log)
        self.assertEqual((self.here.artifacts / "docker").read_text(), "build --tag governance-app .\n" * 2)

    def test_the_orchestrator_builds_a_release_at_the_versions_of_its_file(self):
        self.found("orchestrator.toml")
        versions = "[versions]\n"
        for repo in self.here.repos.values():
            name = repo["repository"]
            versions += f'{name} = {{ version = "0.1.0", git_tag = "v0.1.0", git_commit = "" }}\n'
            refs = self.here.github.repositories[f"{OWNER}/{name}"]["refs"]
            refs["tags/v0.1.0"] = refs["heads/main"]
        (self.here.dir / "bllvm/versions.toml").write_text(versions)
        self.here.push("bllvm", "the versions")
        # What is newest does not build.
        (self.here.dir / "bllvm-consensus/src/lib.rs").write_text("this is not Rust\n")
        self.here.push("bllvm-consensus", "a mistake")

        run = self.here.run("bllvm", "release-orchestrator", "workflow_dispatch", inputs={"release": "true"})
        self.expect_jobs(run, ["plan/plan", *BUILT])
        kept = sorted(path.name for path in self.here.artifacts.iterdir() if path.is_dir())
        self.assertEqual(kept, sorted(repo["repository"] for repo in self.here.repos.values()))

    def test_a_night_builds_all_and_publishes_it_unless_nothing_is_new(self):
        self.found("orchestrator.toml")
        run = self.here.run("bllvm", "nightly-prerelease", "schedule", schedule="0 2 * * *")
        self.expect_jobs(run, ["decide/plan", "plan/plan", *BUILT, "publish/publish"])
        (release,) = self.here.github.state()["releases"][f"{OWNER}/bllvm"]
        self.assertRegex(release["tag_name"], "^nightly-[0-9]{8}-[0-9a-f]{7,}$")
        self.assertTrue(release["prerelease"])

        run = self.here.run("bllvm", "nightly-prerelease", "schedule", schedule="0 2 * * *")
        self.expect_jobs(run, ["decide/plan"])
        self.assertEqual(len(self.here.github.state()["releases"][f"{OWNER}/bllvm"]), 1)
