"""An interactive shell on a pseudo-terminal, to press TAB in."""
import os
import pty
import re
import select
import signal
import time

MARK = "@@"


class Shell:
    """`arguments` start the shell. Not for hostile input; ends with the object's close()."""

    def __init__(self, arguments, environment):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(arguments[0], arguments, environment)
        self.text = ""

    def send(self, keys):
        os.write(self.fd, keys.encode())

    def read_until(self, pattern, seconds=20):
        """What was printed since the last match of a pattern, up to this one."""
        end = time.monotonic() + seconds
        while True:
            match = re.search(pattern, self.text)
            if match:
                before, self.text = self.text[: match.end()], self.text[match.end():]
                return match, before
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise TimeoutError(f"no {pattern!r} within {seconds} s in {self.text!r}")
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                raise EOFError(f"the shell ended; it printed {self.text!r}") from None
            self.text += data.decode(errors="replace")

    def completed(self, typed):
        """The command line after `typed` and TAB."""
        self.send(typed + "\t")
        time.sleep(0.7)  # completion redraws the line; nothing marks its end
        self.send("\x01echo " + MARK + "'' \n")  # Ctrl-A: the line becomes echo's arguments
        match, _ = self.read_until(r"(?m)^" + MARK + r" (.*?) *\r?$")
        return match.group(1)

    def close(self):
        os.close(self.fd)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
