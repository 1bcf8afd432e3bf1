# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Child processes: started with a log file, ended by pid, and never outliving the tests."""
import ctypes
import os
import signal
import stat
import subprocess
import tempfile

_libc = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(c) for c in f.read().split()]


def state(pid):
    """As a letter: R, S, T, Z, …"""
    with open(f"/proc/{pid}/stat", encoding="latin-1") as f:
        return f.read().rsplit(")", 1)[1].split()[0]


def open_to_all(path):
    """Lets every user read a file of a test, whose directories are its own."""
    for p in [path, *path.parents]:
        if str(p) == tempfile.gettempdir():
            break
        p.chmod(p.stat().st_mode | stat.S_IROTH | (stat.S_IXOTH if p.is_dir() else 0))


class Child:
    def __init__(self, argv, log, env=None, cgroup=None, pass_fds=(), stdout=None):
        """cgroup: the directory of a cgroup v2 the process is put into before it runs."""
        self.argv = [str(a) for a in argv]
        self.log_path = str(log)
        self._log = open(self.log_path, "ab")
        environment = dict(os.environ, **(env or {}))

        def before_exec():
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            for number in (signal.SIGINT, signal.SIGHUP):  # ignored, for a job in the background and under nohup
                signal.signal(number, signal.SIG_DFL)
            if cgroup:
                with open(os.path.join(cgroup, "cgroup.procs"), "w", encoding="ascii") as f:
                    f.write(str(os.getpid()))

        self.proc = subprocess.Popen(
            self.argv, stdin=subprocess.DEVNULL, stdout=stdout or self._log, stderr=self._log, env=environment,
            preexec_fn=before_exec, pass_fds=pass_fds)
        self.pid = self.proc.pid

    def alive(self):
        return self.proc.poll() is None

    def kill(self, number):
        self.proc.send_signal(number)

    def log_text(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def stop(self, number=signal.SIGTERM, seconds=10):
        if self.alive():
            self.kill(number)
        try:
            code = self.proc.wait(seconds)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            code = self.proc.wait()
        self._log.close()
        return code
