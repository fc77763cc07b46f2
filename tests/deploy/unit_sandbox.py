"""Runs a program under the restrictions that a systemd unit puts on system calls, without systemd.

    unit_sandbox.py UNIT PROGRAM [ARGUMENT...]

Applies NoNewPrivileges=, SystemCallFilter=, SystemCallErrorNumber=EPERM, RestrictAddressFamilies= and
MemoryDenyWriteExecute=, and what RestrictNamespaces= does to clone3, as systemd.exec(5) describes them.
"""
import ctypes
import errno
import mmap
import os
import pathlib
import socket
import subprocess
import sys

PR_SET_NO_NEW_PRIVS = 38
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
EQUAL, GREATER, MASKED_EQUAL = 4, 6, 7  # enum scmp_compare
LAST_FAMILY = 63  # numbers of address families end long before


def settings(unit, name):
    """The values given to a setting of the unit, in order."""
    lines = pathlib.Path(unit).read_text().splitlines()
    return [line.partition("=")[2] for line in lines if line.partition("=")[0] == name]


def expanded(word):
    """The system calls that one word of SystemCallFilter= stands for."""
    if not word.startswith("@"):
        return {word}
    listed = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager", word],
                            capture_output=True, text=True, check=True).stdout
    words = [line.split("#")[0].strip() for line in listed.splitlines()]
    return set().union(*(expanded(name) for name in words if name and name != word))


def allowed_calls(unit):
    allowed = set()
    for value in settings(unit, "SystemCallFilter"):
        named = set().union(*(expanded(word) for word in value.removeprefix("~").split()))
        allowed = allowed - named if value.startswith("~") else allowed | named
    return allowed


class Comparison(ctypes.Structure):  # struct scmp_arg_cmp
    _fields_ = [("argument", ctypes.c_uint), ("operator", ctypes.c_int),
                ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


class Filter:
    def __init__(self, default):
        self.library = ctypes.CDLL("libseccomp.so.2")
        self.library.seccomp_init.restype = ctypes.c_void_p
        self.context = ctypes.c_void_p(self.library.seccomp_init(ctypes.c_uint32(default)))

    def add(self, action, name, *comparisons):
        number = self.library.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            return  # another architecture's
        array = (Comparison * len(comparisons))(*comparisons)
        error = self.library.seccomp_rule_add_array(self.context, ctypes.c_uint32(action), number,
                                                    len(comparisons), array)
        assert error == 0, (name, error)

    def load(self):
        error = self.library.seccomp_load(self.context)
        assert error == 0, error


def restrict(unit):
    for name, value in (("NoNewPrivileges", "yes"), ("SystemCallErrorNumber", "EPERM"),
                        ("MemoryDenyWriteExecute", "yes"), ("RestrictNamespaces", "yes")):
        assert settings(unit, name) == [value], name
    calls = allowed_calls(unit)
    families = [getattr(socket, name) for name in settings(unit, "RestrictAddressFamilies")[0].split()]
    assert ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0

    arguments = Filter(ALLOW)
    refused = [Comparison(0, EQUAL, family, 0) for family in range(LAST_FAMILY) if family not in families]
    for comparison in [*refused, Comparison(0, GREATER, LAST_FAMILY - 1, 0)]:
        arguments.add(ERRNO | errno.EAFNOSUPPORT, "socket", comparison)
    both = mmap.PROT_EXEC | mmap.PROT_WRITE
    arguments.add(ERRNO | errno.EPERM, "mmap", Comparison(2, MASKED_EQUAL, both, both))
    for name in ("mprotect", "pkey_mprotect"):
        arguments.add(ERRNO | errno.EPERM, name,
                      Comparison(2, MASKED_EQUAL, mmap.PROT_EXEC, mmap.PROT_EXEC))
    arguments.add(ERRNO | errno.ENOSYS, "clone3")
    arguments.load()

    names = Filter(ERRNO | errno.EPERM)
    for call in calls:
        names.add(ALLOW, call)
    names.load()


if __name__ == "__main__":
    restrict(sys.argv[1])
    os.execv(sys.argv[2], sys.argv[2:])
