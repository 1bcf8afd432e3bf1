# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Load from wrk: as much as it can, or at a rate."""
import signal
import shutil
import subprocess

import pytest

from .proc import Child

LASTING = 600  # s: longer than any test, with which stop() ends it

SCRIPT = """
local targets, i = {{ {targets} }}, 0
request = function()
  i = i + 1
  return wrk.format("GET", targets[i % #targets + 1])
end
{delay}
"""


class Wrk:
    """
    Runs until its time is over; stop() ends it early, wait() waits for its end. pause: milliseconds that each connection
    waits before a request.
    """

    def __init__(self, tmp, port, targets=("/ok",), connections=8, seconds=LASTING, name="wrk", pause=0, prefix=(),
                 host="127.0.0.1", scheme="http", threads=1):
        if not shutil.which("wrk"):
            pytest.skip("wrk is not installed")
        script = tmp / f"{name}.lua"
        script.write_text(SCRIPT.format(targets=", ".join(f'"{t}"' for t in targets),
                                        delay=f"function delay() return {pause} end" if pause else ""))
        self.seconds = seconds
        self.child = Child([*prefix, "wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "-s", script,
                            f"{scheme}://{host}:{port}"], tmp / f"{name}.out")

    def wait(self):
        try:
            assert self.child.proc.wait(self.seconds + 20) == 0, self.child.log_text()
        except subprocess.TimeoutExpired:
            raise AssertionError("wrk does not end") from None
        return self.child.log_text()

    def stop(self):
        self.child.stop(signal.SIGKILL)
