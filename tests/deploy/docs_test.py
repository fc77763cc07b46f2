"""What README.md and docs/ tell people to type is what the program takes, and what they refer to is there."""
import contextlib
import os
import pathlib
import re
import shlex
import subprocess
import tempfile
import unittest

PROGRAM = os.environ["UNSPRAWL_BINARY"]
SOURCE = pathlib.Path(__file__).resolve().parents[2]
PAGES = [SOURCE / "README.md", *sorted((SOURCE / "docs").glob("*.md"))]


def commands(page):
    """The words of each command line in a page's ```sh blocks."""
    for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words


class Docs(unittest.TestCase):
    def help(self, *command):
        done = subprocess.run([PROGRAM, *command, "--help"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, command)
        return done.stdout

    def test_the_program_takes_every_command_that_is_shown(self):
        seen = set()
        for page in PAGES:
            for words in commands(page):
                if words[0] not in ("unsprawl", "deploy/unsprawl"):
                    continue
                command, rest = [], words[1:]
                while rest and re.fullmatch(r"[a-z-]+", rest[0]) and not rest[0].startswith("-"):
                    if f"\n  {rest[0]} " not in self.help(*command):
                        break  # an argument
                    command.append(rest.pop(0))
                self.assertTrue(command, words)
                options = {word.partition("=")[0] for word in rest if word.startswith("-")}
                known = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", self.help(*command)))
                self.assertEqual(options - known, set(), words)
                seen.add(command[0])
        self.assertGreaterEqual(seen, {"scan", "coordinator", "worker", "certs", "status", "report"})

    def test_a_cluster_set_up_as_the_readme_says_works(self):
        """Its commands, on this machine's address and in one folder; of a repository that nobody serves."""
        shown = [words for words in commands(SOURCE / "README.md")
                 if words[0] == "export" and "TLS" in words[1] or "audit.example" in " ".join(words)
                 or words[:2] == ["unsprawl", "coordinator"]]
        self.assertEqual([words[1].partition("=")[0] for words in shown],
                         ["certs", "coordinator", "worker", "UNSPRAWL_TLS_CA", "scan", "status"])
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
            environment = {**os.environ, "HOME": folder}
            config = pathlib.Path(folder, "nightly.toml")
            config.write_text('output = "reports"\n[[scope]]\ntargets = ["https://127.0.0.1:9/a.git"]\n')
            address = "127.0.0.1"
            for words in shown:
                if words[0] == "export":
                    environment |= dict(word.split("=") for word in words[1:])
                    continue
                line = " ".join(words[1:]).replace("/etc/unsprawl/nightly.toml", str(config))
                line = line.replace("[::]:7077", "127.0.0.1:0").replace("audit.example:7077", address)
                line = [PROGRAM, *line.replace("audit.example", address).replace(" --watch", "").split()]
                place = {"env": environment, "cwd": folder if words[1] == "certs" else f"{folder}/certs", "text": True}
                if words[1] in ("coordinator", "worker"):
                    line += ["--retry-seconds=0"] if words[1] == "coordinator" else []
                    process = subprocess.Popen(line, stderr=subprocess.PIPE, **place)
                    running.callback(process.communicate)
                    running.callback(process.terminate)
                    said = process.stderr.readline()
                    self.assertRegex(said, "event=serving|event=joined")
                    if words[1] == "coordinator":
                        address = re.search(r"127.0.0.1:\d+", said).group()
                    continue
                done = subprocess.run(line, capture_output=True, timeout=300, **place)
                self.assertEqual(done.returncode, 3 if words[1] == "scan" else 0, done.stdout + done.stderr)
            self.assertIn("1: ", done.stdout)  # the worker, in the status
            self.assertIn("127.0.0.1/9/a", pathlib.Path(folder, "certs/unsprawl-report/summary.txt").read_text())

    def test_variables_that_are_set_are_the_programs(self):
        for page in PAGES:
            for words in commands(page):
                for word in words[1:] if words[0] == "export" else []:
                    name = word.partition("=")[0]
                    if name.startswith("UNSPRAWL_TLS"):
                        self.assertIn(f"(Env:{name})", self.help("scan"))

    def test_files_and_pages_that_are_named_are_there(self):
        for page in PAGES:
            text = page.read_text()
            for target in re.findall(r"\]\(([^)#:]+)\)", text):
                self.assertTrue((page.parent / target).exists(), f"{page.name}: {target}")
            for path in re.findall(r"(?<![\w/])deploy/[\w./-]*\w", text):
                self.assertTrue((SOURCE / path).exists(), f"{page.name}: {path}")

    def test_credentials_that_are_installed_are_the_units(self):
        loaded = "".join(unit.read_text() for unit in (SOURCE / "deploy" / "systemd").glob("*.service"))
        installed = [word for page in PAGES for words in commands(page) for word in words
                     if word.startswith("/etc/credstore/")]
        self.assertGreater(len(installed), 5)
        for file in installed:
            self.assertRegex(loaded, rf"(?m)^LoadCredential=[\w-]+:{re.escape(pathlib.Path(file).name)}$")

    def test_secrets_of_kubernetes_have_the_files_that_pods_read(self):
        made = {}
        for words in commands(SOURCE / "docs" / "cluster.md"):
            if "secret" in words:
                made[words[words.index("generic") + 1]] = {
                    pathlib.Path(word.partition("=")[2]).name for word in words if word.startswith("--from-file")}
        manifests = "".join(file.read_text() for file in (SOURCE / "deploy" / "kubernetes").iterdir())
        self.assertEqual(set(made), set(re.findall(r"secretName: (\S+)", manifests)))
        wanted = set(re.findall(r"/etc/unsprawl/(?:tls|secrets)/([\w.-]+)", manifests)) - {"worker.pem", "worker.key"}
        self.assertEqual(wanted - set().union(*made.values()), set())
        for number in range(int(re.search(r"replicas: (\d+)\n  podManagement", manifests).group(1))):
            self.assertLessEqual({"ca.pem", f"worker-{number}.pem", f"worker-{number}.key"}, made["worker-tls"])


if __name__ == "__main__":
    unittest.main()
