"""The units: systemd finds nothing wrong with them, they are as closed as they can be, and the program does all of
its work under them. Wants systemd (its programs, not a running one)."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from unit_sandbox import allowed_calls, settings

PROGRAM = os.environ["UNSPRAWL_BINARY"]
BUILD = pathlib.Path(os.environ["UNSPRAWL_BUILD"])
SOURCE = pathlib.Path(__file__).resolve().parents[2]
UNITS = SOURCE / "deploy" / "systemd"
SERVICE = UNITS / "unsprawl-nightly.service"
COORDINATOR = UNITS / "unsprawl-coordinator.service"
WORKER = UNITS / "unsprawl-worker.service"
SERVICES = (SERVICE, COORDINATOR, WORKER)
SANDBOX_CALLS = {"seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"}
# systemd's own measure, 0 to 100. What is left is that a scanner reads the system's files, resolves names
# and talks to forges.
EXPOSURE = 12


def run(*arguments, **keywords):
    return subprocess.run(arguments, capture_output=True, text=True, timeout=300, **keywords)


class Systemd(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not shutil.which("systemd-analyze"):
            raise AssertionError("systemd-analyze is not installed: deploy/bootstrap all installs systemd")
        cls.folder = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)

    def verify(self, change=lambda text: text):
        """systemd-analyze verify of the units as if the package were installed; "" when all is well."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        for unit in UNITS.iterdir():
            text = change(unit.read_text()).replace("/usr/bin/unsprawl", PROGRAM)
            (folder / unit.name).write_text(text)
        done = run("systemd-analyze", "verify", "--man=no", *map(str, sorted(folder.iterdir())))
        return done.stderr or ("" if done.returncode == 0 else f"exit {done.returncode}")

    def security(self, unit):
        return run("systemd-analyze", "security", "--offline=true", "--no-pager",
                   f"--threshold={EXPOSURE}", str(unit))

    def test_verify_finds_nothing(self):
        self.assertEqual(self.verify(), "")

    def test_verify_would_find_a_misspelt_setting(self):
        self.assertIn("MemoryMaximum", self.verify(lambda text: text.replace("MemoryMax", "MemoryMaximum")))

    def test_exposure_is_below_the_threshold(self):
        self.assertEqual(sorted(UNITS.glob("*.service")), sorted(SERVICES))
        for unit in SERVICES:
            done = self.security(unit)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_hardening_setting_counts(self):
        for unit in SERVICES:
            open_unit = self.folder / "open.service"
            open_unit.write_text(unit.read_text().replace("RestrictNamespaces=yes\n", ""))
            self.assertNotEqual(self.security(open_unit).returncode, 0)

    def test_the_timer_makes_up_for_missed_nights_and_is_not_always_sharp(self):
        timer = UNITS / "unsprawl-nightly.timer"
        self.assertEqual(settings(timer, "Persistent"), ["true"])
        self.assertEqual(settings(timer, "WantedBy"), ["timers.target"])
        self.assertNotEqual(settings(timer, "RandomizedDelaySec"), [])

    def test_findings_alone_do_not_fail_the_unit(self):
        self.assertEqual(settings(SERVICE, "SuccessExitStatus"), ["1"])

    def test_what_the_programs_own_sandbox_calls_is_allowed(self):
        for unit in (SERVICE, WORKER):
            self.assertEqual(SANDBOX_CALLS - allowed_calls(unit), set())
        self.assertEqual(SANDBOX_CALLS & allowed_calls(COORDINATOR), set())  # it parses no repository

    def test_what_no_part_calls_is_not(self):
        for unit in SERVICES:
            self.assertEqual(
                allowed_calls(unit) & {"mount", "ptrace", "bpf", "setuid", "io_uring_setup", "reboot"}, set())

    def test_a_stopped_worker_has_time_to_give_back_what_it_holds(self):
        # To the program alone at first; git and its scanners it ends by itself.
        self.assertEqual(settings(WORKER, "KillMode"), ["mixed"])
        self.assertEqual(settings(WORKER, "TimeoutStopSec"), ["2min"])

    def test_certificates_are_where_the_program_looks(self):
        for unit in (COORDINATOR, WORKER):
            loaded = {value.partition(":")[0] for value in settings(unit, "LoadCredential")}
            given = re.findall(r"(UNSPRAWL_TLS_[A-Z]+)=%d/(\S+)", unit.read_text())
            self.assertEqual(len(given), 3)
            for variable, credential in given:
                self.assertIn(credential, loaded)
                self.assertIn(f"Env:{variable})", run(PROGRAM, settings(unit, "ExecStart")[0].split()[1],
                                                      "--help").stdout)

    def cluster_wrapper(self):
        """The program, with coordinator and worker each under its own unit."""
        path = self.folder / "cluster"
        path.write_text(f'''#!/bin/sh
case "$1" in
  coordinator | worker) exec {sys.executable} -B {SOURCE}/tests/deploy/unit_sandbox.py \\
    {UNITS}/unsprawl-$1.service {PROGRAM} "$@" ;;
esac
exec {PROGRAM} "$@"
''')
        path.chmod(0o755)
        return str(path)

    def wrapper(self, unit=SERVICE):
        path = self.folder / "unsprawl"
        path.write_text(f'#!/bin/sh\nexec {sys.executable} -B {SOURCE}/tests/deploy/unit_sandbox.py '
                        f'{unit} {PROGRAM} "$@"\n')
        path.chmod(0o755)
        return str(path)

    def scan(self, program, name, repository):
        home = self.folder / name
        environment = {"PATH": os.environ["PATH"], "HOME": "/", "SOURCE_DATE_EPOCH": "1000000000",
                       "UNSPRAWL_KEY": "1" * 64, "XDG_STATE_HOME": str(home / "state"),
                       "XDG_CACHE_HOME": str(home / "cache"), "XDG_CONFIG_HOME": str(home / "config")}
        done = run(program, "scan", "-q", "-o", str(home / "report"), f"file://{repository}",
                   env=environment)
        report = {file.name: file.read_text() for file in (home / "report").iterdir()
                  if file.name != "run.json"}
        return done, report

    def test_a_scan_under_the_unit_reports_the_same_as_without(self):
        repository = self.folder / "repository"
        git = ("git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@example.org")
        run("git", "init", "-q", str(repository))
        (repository / "a.env").write_text("key=" + "AK" "IA" "Q3EGRXYZ5TUVWM7J\n")
        run(*git, "add", ".")
        self.assertEqual(run(*git, "commit", "-q", "-m", "one").returncode, 0)
        bare, bare_report = self.scan(PROGRAM, "bare", repository)
        confined, confined_report = self.scan(self.wrapper(), "confined", repository)
        self.assertEqual((bare.returncode, confined.returncode), (1, 1), bare.stderr + confined.stderr)
        self.assertEqual(bare_report, confined_report)
        self.assertEqual(json.loads(confined_report["manifest.json"])["repositories"][0]["status"], "ok")

    def test_fetching_works_under_the_unit(self):
        """The program's own tests of fetching over HTTPS and SSH, with git and libgit2."""
        done = run(str(BUILD / "tests" / "fetch_test"),
                   env={**os.environ, "UNSPRAWL_BINARY": self.wrapper()})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"PASSED  \] [1-9]")

    def test_a_cluster_works_under_its_units(self):
        """The program's own test that a coordinator and workers report what one machine does."""
        done = run(str(BUILD / "tests" / "cluster_test"), "--gtest_filter=*ReportsWhatOneMachineDoes",
                   env={**os.environ, "UNSPRAWL_BINARY": self.cluster_wrapper()})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"PASSED  \] 1 ")

    def test_a_stricter_unit_would_fail_it(self):  # the two tests above could not pass by accident
        unit = self.folder / "closed.service"
        unit.write_text(SERVICE.read_text().replace("@resources", "@resources @process"))
        done = run(self.wrapper(unit), "scan", "--store", ":memory:", "-o", str(self.folder / "none"),
                   str(SOURCE), env={**os.environ, "HOME": str(self.folder)})
        self.assertNotIn("Traceback", done.stderr)
        self.assertIn(done.returncode, (2, 3, 4), done.stderr)


if __name__ == "__main__":
    unittest.main()
