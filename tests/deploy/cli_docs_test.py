"""The man page and the completions say what --help says (CLI11's own words are the oracle), and work in
the shells that they are for. Wants bash, zsh, fish, man, mandoc; fails where one is missing."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from terminal import Shell

PROGRAM = os.environ["UNSPRAWL_BINARY"]
SOURCE = pathlib.Path(__file__).resolve().parents[2]
SHELLS = ("bash", "zsh", "fish")


def run(*arguments, **keywords):
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, **keywords)
    if done.returncode != 0:
        raise AssertionError(f"{arguments}: exit {done.returncode}: {done.stderr}")
    return done.stdout


def commands_and_options():
    """{"rules check": {"-h", "--help", "--widths"}, ...} from --help; the program itself is ""."""
    found = {}

    def visit(path):
        text = run(PROGRAM, *path.split(), "--help")
        found[path] = set()
        for line in re.findall(r"^  (-\S+)", text, re.M):
            found[path] |= {re.sub(r"[{=\[].*", "", name) for name in line.split(",")}
        below = text.partition("\nSubcommands:\n")[2]
        for name in re.findall(r"^  ([a-z]\S*)", below, re.M):
            visit(f"{path} {name}".strip())

    visit("")
    return found


class CliDocs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for tool in (*SHELLS, "man", "mandoc"):
            if not shutil.which(tool):
                raise AssertionError(f"{tool} is not installed: deploy/bootstrap all installs it")
        cls.folder = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.commands = commands_and_options()
        cls.page = cls.folder / "unsprawl.1"
        cls.page.write_text(run(PROGRAM, "man"))
        cls.scripts = {}
        for shell in SHELLS:
            cls.scripts[shell] = cls.folder / f"unsprawl.{shell}"
            cls.scripts[shell].write_text(run(PROGRAM, "completion", shell))
        (cls.folder / "bin").mkdir()
        (cls.folder / "bin" / "unsprawl").symlink_to(PROGRAM)
        (cls.folder / "a folder").mkdir()
        (cls.folder / "a file").touch()
        cls.environment = {"PATH": f"{cls.folder}/bin:{os.environ['PATH']}", "HOME": str(cls.folder),
                           "LC_ALL": "C.UTF-8", "TERM": "dumb"}

    def test_help_names_more_than_a_few(self):  # else the comparisons below prove nothing
        self.assertGreater(len(self.commands), 10)
        self.assertIn("--store", self.commands["scan"])
        self.assertNotIn("completion", self.commands)

    def test_every_option_is_in_its_part_of_the_man_page(self):
        text = run("man", "-l", str(self.page), env={**self.environment, "MANWIDTH": "200"})
        text = re.sub(r".\x08", "", text).replace("\u2010", "-").replace("\u2212", "-")
        parts = {}
        for line in text.splitlines():
            if re.match(r"\S", line):
                part = line.strip()
            elif match := re.match(r"   unsprawl ([a-z -]*[a-z])( |$)", line):
                part = match.group(1)
            parts.setdefault(part, []).append(line)
        everywhere = set(re.findall(r"(?<=[ ,])--?[\w-]+", " ".join(parts["OPTIONS"])))
        for command, options in self.commands.items():
            if any(other.startswith(f"{command} ".lstrip()) and other for other in self.commands
                   if other != command):
                continue  # only its commands can be run
            self.assertIn(command, parts)
            named = set()
            for line in parts[command]:
                if match := re.match(r"       (-[^ ].*)", line):
                    named |= set(re.findall(r"(?:^|(?<=, ))--?[\w-]+", match.group(1)))
            self.assertEqual(options - everywhere, named, command)
        self.assertEqual(self.commands[""], everywhere)

    def test_formatters_have_nothing_to_say_about_the_man_page(self):
        done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(self.page)],
                              capture_output=True, text=True, timeout=60, env=self.environment)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", str(self.page)],
                              capture_output=True, text=True, timeout=60)
        said = [line for line in done.stdout.splitlines() if "missing date" not in line]  # made by a build
        self.assertEqual(said, [])

    def test_every_variable_that_is_read_is_in_the_man_page(self):
        page = self.page.read_text()
        for file in [*SOURCE.glob("coordinator/**/*.cc"), *SOURCE.glob("store/*.cc"),
                     *SOURCE.glob("worker/*.cc")]:
            for name in re.findall(r'getenv\("([A-Z_]+)"\)', file.read_text()):
                self.assertIn(name, page, f"{file} reads it: say so in coordinator/man_page.cc")

    def test_shells_read_the_scripts(self):
        for shell, script in self.scripts.items():
            run(shell, "-n", str(script), env=self.environment)

    def test_bash_offers_every_command_and_option(self):
        script = f"source {self.scripts['bash']}\n"
        script += r'offer() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _unsprawl; echo "${COMPREPLY[@]}"; }'
        for command in self.commands:
            script += f"\noffer unsprawl {command} -; offer unsprawl {command} ''"
        lines = iter(run("bash", "--norc", "-c", script, env=self.environment, cwd=self.folder).split("\n"))
        for command, options in self.commands.items():
            self.assertEqual(set(next(lines).split()), options, command)
            below = {path.split()[-1] for path in self.commands
                     if path and path.split()[:-1] == command.split()}
            offered = set(next(lines).split())
            if below:
                self.assertEqual(offered, below, command)

    def test_fish_offers_every_command_and_option(self):
        lines = [f"source {self.scripts['fish']}"]
        for command in self.commands:
            gap = " " if command else ""
            lines.append(f"complete -C 'unsprawl {command}{gap}-'; complete -C 'unsprawl {command}{gap}--'; "
                         f"echo @@; complete -C 'unsprawl {command}{gap}'; echo @@")
        parts = run("fish", "--no-config", "-c", "\n".join(lines), env=self.environment,
                    cwd=self.folder).split("@@\n")
        names = [{line.split("\t")[0] for line in part.splitlines()} for part in parts]
        for i, (command, options) in enumerate(self.commands.items()):
            self.assertEqual(names[2 * i], options, command)
            below = {path.split()[-1] for path in self.commands
                     if path and path.split()[:-1] == command.split()}
            if below:
                self.assertEqual(names[2 * i + 1], below, command)

    def test_zsh_names_every_option_in_its_function(self):
        script = self.scripts["zsh"].read_text()
        for command, options in self.commands.items():
            name = "_unsprawl" + "".join("_" + word for word in command.replace("-", "_").split())
            body = re.search(rf"^{name}\(\) {{\n(.*?)^}}", script, re.M | re.S).group(1)
            self.assertEqual(set(re.findall(r"^    '\([^)]*\)(--?[\w-]+)", body, re.M)), options, command)

    def shell(self, name):
        start = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"],
                 "fish": ["fish", "--no-config"]}[name]
        shell = Shell(start, {**self.environment, "PS1": "> "})
        self.addCleanup(shell.close)
        load = {"bash": "", "zsh": "autoload -Uz compinit && compinit -u -D; "}.get(name, "")
        shell.send(f"cd {self.folder}; {load}source {self.scripts[name]}; echo rea''dy\n")
        shell.read_until(r"(?m)^ready")
        return shell

    def check_tab(self, name):
        shell = self.shell(name)
        self.assertEqual(shell.completed("unsprawl sc"), "unsprawl scan")
        self.assertEqual(shell.completed("unsprawl rules ch"), "unsprawl rules check")
        self.assertEqual(shell.completed("unsprawl scan --scan-m"), "unsprawl scan --scan-mode")
        self.assertEqual(shell.completed("unsprawl scan --scan-mode fu"), "unsprawl scan --scan-mode full")
        self.assertEqual(shell.completed("unsprawl scan --scan-mode=fu"), "unsprawl scan --scan-mode=full")
        self.assertEqual(shell.completed("unsprawl scan -q a\\ fi"), "unsprawl scan -q a file")
        self.assertEqual(shell.completed("unsprawl store purge --rep"), "unsprawl store purge --repository")

    def test_tab_completes_in_bash(self):
        self.check_tab("bash")

    def test_tab_completes_in_zsh(self):
        self.check_tab("zsh")

    def test_fish_completes_values_and_files(self):
        def offered(typed):
            script = f"source {self.scripts['fish']}; complete -C '{typed}'"
            return run("fish", "--no-config", "-c", script, env=self.environment, cwd=self.folder).split("\n")
        self.assertIn("scan\tScan repositories and write the sprawl report", offered("unsprawl sc"))
        self.assertEqual([line.split("\t")[0] for line in offered("unsprawl scan --scan-mode fu")[:-1]], ["full"])
        self.assertIn("a file", [line.split("\t")[0] for line in offered("unsprawl scan -q a")])


if __name__ == "__main__":
    unittest.main()
