"""The Debian package: what is in it, what it asks for, how its program was built. .ci/clean-debian
installs it. Wants dpkg-dev and binutils."""
import gzip
import os
import pathlib
import re
import shutil
import stat
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ["UNSPRAWL_BUILD"])


def run(*arguments, **keywords):
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, **keywords)
    if done.returncode != 0:
        raise AssertionError(f"{arguments}: exit {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for tool in ("dpkg-shlibdeps", "readelf"):
            if not shutil.which(tool):
                raise AssertionError(f"{tool} is not installed: deploy/bootstrap all installs it")
        cls.folder = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        run("cpack", "-G", "DEB", "--config", str(BUILD / "CPackConfig.cmake"), "-B", str(cls.folder),
            cwd=cls.folder)
        (cls.package,) = cls.folder.glob("unsprawl_*.deb")
        cls.root, cls.control = cls.folder / "root", cls.folder / "control"
        run("dpkg-deb", "-x", str(cls.package), str(cls.root))
        run("dpkg-deb", "-e", str(cls.package), str(cls.control))
        cls.program = cls.root / "usr/bin/unsprawl"

    def field(self, name):
        return run("dpkg-deb", "-f", str(self.package), name).strip()

    def test_dependencies_are_declared(self):
        wanted = {line.split("[")[1].rstrip("]") for line in run("readelf", "-d", str(self.program)).splitlines()
                  if "(NEEDED)" in line}
        depends = re.findall(r"([a-z0-9.+-]+)(?: \([^)]*\))?", self.field("Depends"))
        self.assertLessEqual({"git", "ca-certificates", "libc6"}, set(depends))
        # A dependency may be on what another package provides.
        provided = {}
        for line in run("dpkg-query", "-W", "-f", "${Package}|${Provides}\n").splitlines():
            package, others = line.split("|")
            for other in [package, *re.findall(r"[a-z0-9.+-]+(?=[ ,(]|$)", others)]:
                provided.setdefault(other, package)
        listed = ""
        for package in depends:
            if package.startswith(("lib", "zlib")):
                listed += run("dpkg", "-L", provided[package])
        for library in wanted:  # dpkg's own file lists are the oracle
            self.assertIn(f"/{library}\n", listed)

    def test_version_is_the_programs(self):
        version = run(str(self.program), "--version").split()[1]
        self.assertEqual(self.field("Version"), f"{version}-1")
        changelog = gzip.open(self.root / "usr/share/doc/unsprawl/changelog.Debian.gz", "rt").readline()
        self.assertIn(f"({version}-1)", changelog)

    def test_every_part_is_in_its_place(self):
        for file in ("lib/systemd/system/unsprawl-nightly.service", "lib/systemd/system/unsprawl-nightly.timer",
                     "lib/systemd/system/unsprawl-coordinator.service", "lib/systemd/system/unsprawl-worker.service",
                     "usr/share/man/man1/unsprawl.1.gz", "usr/share/bash-completion/completions/unsprawl",
                     "usr/share/zsh/vendor-completions/_unsprawl",
                     "usr/share/fish/vendor_completions.d/unsprawl.fish",
                     "usr/share/doc/unsprawl/README.md", "usr/share/doc/unsprawl/examples/nightly.toml",
                     "usr/share/doc/unsprawl/copyright"):
            self.assertGreater((self.root / file).stat().st_size, 0, file)
        self.assertTrue((self.root / "etc/unsprawl").is_dir())
        for service in self.root.glob("lib/systemd/system/*.service"):
            path = re.search(r"^ExecStart=/(\S+)", service.read_text(), re.M).group(1)
            self.assertTrue(os.access(self.root / path, os.X_OK))

    def test_man_page_and_completions_are_the_programs_own(self):
        page = gzip.open(self.root / "usr/share/man/man1/unsprawl.1.gz", "rt").read()
        self.assertEqual(page, run(str(self.program), "man"))
        bash = (self.root / "usr/share/bash-completion/completions/unsprawl").read_text()
        self.assertEqual(bash, run(str(self.program), "completion", "bash"))

    def test_everything_belongs_to_root_and_nothing_is_open_to_writing(self):
        for line in run("dpkg-deb", "-c", str(self.package)).splitlines():
            mode, owner = line.split()[:2]
            self.assertEqual(owner, "root/root", line)
            self.assertRegex(mode, r"^(drwxr-xr-x|-rw-r--r--|-rwxr-xr-x)$", line)

    def test_nothing_is_enabled_by_installing(self):
        links = [path for path in self.root.rglob("*") if path.is_symlink()]
        self.assertEqual(links, [])
        for script in ("postinst", "prerm", "postrm"):
            self.assertTrue((self.control / script).stat().st_mode & stat.S_IXUSR)
            run("sh", "-n", str(self.control / script))
            self.assertNotRegex((self.control / script).read_text(), r"(?m)^[^#]*\b(enable|start)\b")

    def test_the_program_is_stripped_and_hardened(self):
        headers = run("readelf", "-W", "-h", "-l", "-d", "--dyn-syms", "-S", str(self.program))
        for wanted in ("DYN (Position-Independent Executable", "GNU_RELRO", "BIND_NOW", "__stack_chk_fail",
                       "__memcpy_chk"):
            self.assertIn(wanted, headers)
        self.assertRegex(headers, r"GNU_STACK .* RW ")
        self.assertNotIn(".debug_info", headers)
        self.assertNotIn(".symtab", headers)


if __name__ == "__main__":
    unittest.main()
