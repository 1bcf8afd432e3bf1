# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The commands as people and pipelines use them: exit codes, stdout and stderr, messages for bad input."""
import contextlib
import errno
import json
import os
import re
import signal
import subprocess
import threading

import pytest

from tw import net, watch
from tw.client import Client, ask, request
from tw.proc import Child, open_to_all
from tw.servers import answering
from tw.wait import until
from tw.watch import COMMAND_SECONDS, TILLWATCH, Background, Document, config_text, run

pytestmark = pytest.mark.usefixtures("not_in_a_dry_run")

COMMANDS = ("doctor", "top", "init", "watch", "gate", "plan", "replay")
SECRET = "s3cr3t-canary-value"

GOOD = """service: shop
versions:
  v1: { arm: baseline, match: { listen: "127.0.0.1:8081" } }
  v2: { arm: canary, match: { listen: "127.0.0.1:8082" } }
endpoints:
  - { route: "POST /checkout", critical: true, value: "62.50 EUR", slo: { p95: 300ms, error_rate: 0.5% } }
  - { route: "GET /cart/{id}" }
gate: { alpha: 0.05, max_error_ratio: 1.5, max_latency_increase: 20%, min_requests: 500, warmup: 10s, tick: 5s }
stages: [5%, 25%, 50%, 100%]
"""


def traffic_while(command, port, targets=("/ok", "/missing", "/orders/17"), ask_more=lambda c: None):
    """Makes requests until the command has ended; returns its result and how many requests there were."""
    n = 0
    while command.running():
        with Client(port) as c:
            for t in targets:
                c.ask("GET", t)
                n += 1
            ask_more(c)
    return command.result(), n


# --- doctor, top, init, help, version -------------------------------------------------------------------------------


def test_doctor_says_what_this_machine_allows():
    r = run("doctor")
    assert r.code == 0, r
    for word in ("kernel", "BTF", "cgroup", os.uname().release):
        assert word.lower() in r.out.lower(), f"{word} is missing from: {r.out}"
    # Without a configuration there are no processes to speak of.
    assert "TLS of the watched processes" not in r.out


def test_doctor_speaks_json():
    r = run("doctor", "--json")
    assert r.code == 0, r
    doc = json.loads(r.out)
    assert isinstance(doc, dict) and doc and "tls" not in doc
    assert os.uname().release in r.out


@pytest.mark.alone
def test_top_shows_every_http_service_and_its_endpoints(nginx):
    one, two = nginx(name="one"), nginx(name="two")

    def also(c):
        ask(two.port, "GET", f"/checkout?token={SECRET}")

    r, _ = traffic_while(Background("top", "--for", "3s"), one.port, ask_more=also)
    assert r.code == 0, r
    for word in (str(one.port), str(two.port), "GET /ok", "GET /orders/{id}", "GET /checkout"):
        assert word in r.out, f"{word} is missing from: {r.out}"
    assert SECRET not in r.out + r.err
    assert "\x1b" not in r.out, "control sequences off a terminal"


class Top:
    """`top`, in the background from its first moment on."""

    def __init__(self, tmp_path):
        self.stdout_path = tmp_path / "top.out"
        self._stdout = open(self.stdout_path, "wb")
        self.child = Child([watch.TILLWATCH, "top"], tmp_path / "top.err", stdout=self._stdout)

    def await_said(self, what):
        until(lambda: what in self.child.log_text(), lambda: f"{what!r}; it said: {self.child.log_text()!r}", watch.ATTACH_SECONDS)

    def await_loading(self):
        """Until it has a map of the kernel's: its first look at the host is over, and nothing is attached yet."""

        def has_map():
            fds = f"/proc/{self.child.pid}/fd"
            return any(link_of(os.path.join(fds, fd)) == "anon_inode:bpf-map" for fd in os.listdir(fds))

        until(has_map, "a map of the kernel's", watch.ATTACH_SECONDS, pause=0.001)
        assert "watching" not in self.child.log_text()

    def end(self):
        """The last of what it shows, a list of lines."""
        assert self.child.stop(signal.SIGINT) == 0, self.child.log_text()
        self._stdout.close()
        return self.stdout_path.read_text().strip().split("\n\n")[-1].split("\n")

    def discard(self):
        if self.child.alive():
            self.child.stop(signal.SIGKILL)
        self._stdout.close()


def link_of(path):
    try:
        return os.readlink(path)
    except FileNotFoundError:  # closed meanwhile
        return None


@pytest.mark.alone
def test_top_names_requests_under_way_at_the_service_that_has_them_and_at_no_other(nginx, raw_server, started, tmp_path):
    asked = threading.Semaphore(0)

    def silent(c):
        c.request()
        asked.release()
        c.read_until_close()

    idle, hanging = nginx(), raw_server(silent)
    top = started(Top(tmp_path))
    top.await_said("tillwatch: watching ")
    with contextlib.ExitStack() as clients:
        for _ in range(3):
            clients.enter_context(Client(hanging.port)).send(request("GET", "/hang"))
            assert asked.acquire(timeout=10)
        lines = top.end()
    under_way = dict(re.findall(r":(\d+) \(([\d,]+)\)", line_of("under_way", lines)))
    assert under_way.get(str(hanging.port)) == "3" and str(idle.port) not in under_way, lines
    waiting = re.findall(r":(\d+)", line_of("waiting", lines))
    assert str(idle.port) in waiting and str(hanging.port) not in waiting, lines


def line_of(word, lines):
    (line,) = [line for line in lines if line.startswith(f"{word} ")]
    return line


@pytest.mark.alone
def test_top_watches_what_begins_to_listen_while_it_is_being_attached(raw_server, started, tmp_path):
    top = started(Top(tmp_path))
    top.await_loading()
    late = raw_server(answering({"/late": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}))
    top.await_said("tillwatch: watching ")
    ask(late.port, "GET", "/late")
    lines = top.end()
    assert [line for line in lines if re.match(rf'endpoint "GET /late" service=\S+:{late.port} requests=1 ', line)], lines


@pytest.mark.alone
def test_init_writes_a_config_that_watch_accepts(nginx, tmp_path):
    server = nginx()
    path = tmp_path / "starter.yaml"
    r, _ = traffic_while(Background("init", "--for", "3s", "-o", path), server.port,
                         targets=("/ok", "/orders/17", f"/cart?token={SECRET}"))
    assert r.code == 0, r
    text = path.read_text()
    assert str(server.port) in text and "GET /ok" in text and "GET /orders/{id}" in text
    assert SECRET not in text + r.out + r.err
    again = run("watch", "-c", path, "--for", "1s", "--json")
    assert again.code == 0, again
    Document(again.out, again.err)


@pytest.mark.alone
def test_init_without_a_file_writes_to_stdout_and_talks_on_stderr(nginx, tmp_path):
    server = nginx()
    r, _ = traffic_while(Background("init", "--for", "2s"), server.port)
    assert r.code == 0, r
    path = tmp_path / "starter.yaml"
    path.write_text(r.out)
    assert run("watch", "-c", path, "--for", "1s", "--json").code == 0


@pytest.mark.parametrize("where, why", [("absent/starter.yaml", "No such file or directory"),
                                        ("file/starter.yaml", "Not a directory")])
def test_init_says_at_once_that_it_cannot_write(tmp_path, where, why):
    (tmp_path / "file").touch()
    r = run("init", "--for", "1h", "-o", tmp_path / where, seconds=20)
    assert r.code == 1 and r.err == f"tillwatch: error: cannot write {tmp_path / where}: {why}\n", r


@pytest.fixture
def disk(tmp_path):
    """disk(size): a file system of that size, by its directory."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mounts = []

    def mount(size):
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", directory], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no tmpfs can be mounted: {done.stderr}")
        mounts.append(directory)
        return directory

    yield mount
    for m in mounts:
        subprocess.run(["umount", m], check=True)


def fill(directory):
    with open(directory / "filler", "wb", buffering=0) as f:
        try:
            while f.write(bytes(4096)):
                pass
        except OSError as e:
            assert e.errno == errno.ENOSPC


def test_init_says_at_once_that_the_disk_is_full_and_leaves_nothing_there(disk):
    full = disk("64k")
    fill(full)
    r = run("init", "--for", "1h", "-o", full / "starter.yaml", seconds=20)
    assert r.code == 1 and r.err == f"tillwatch: error: cannot write {full / 'starter.yaml'}: No space left on device\n", r
    assert [path.name for path in full.iterdir()] == ["filler"]


@pytest.mark.alone
def test_init_keeps_room_for_what_it_writes(nginx, disk, tmp_path, started):
    server, filling = nginx(), disk("1m")
    init = started(Child([watch.TILLWATCH, "init", "--for", "1h", "-o", filling / "starter.yaml"], tmp_path / "init.err"))
    until(lambda: "tillwatch: watching " in init.log_text(), init.log_text, watch.ATTACH_SECONDS)
    ask(server.port, "GET", "/ok")
    fill(filling)
    assert init.stop(signal.SIGINT) == 0, init.log_text()
    text = (filling / "starter.yaml").read_text()
    assert text.startswith("# A starter ") and text.endswith("\nstages: [5%, 25%, 50%, 100%]\n"), text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    r = run(command, "--help")
    assert r.code == 0 and command in r.out and "--help" in r.out, r
    assert r.err == ""


def test_the_tool_has_help_that_names_every_command():
    r = run("--help")
    assert r.code == 0, r
    for command in COMMANDS:
        assert re.search(rf"\b{command}\b", r.out), f"{command} is missing from: {r.out}"
    assert "--verbose" in r.out, "messages name it"


@pytest.mark.parametrize("files", [8, 20, 160, 220])
def test_too_few_open_files_are_named_as_that_and_as_no_refusal_of_the_kernel(files, tmp_path):
    """An ordinary user's limit, which nobody may raise: root's may be."""
    path = tmp_path / "c.yaml"
    path.write_text(GOOD)
    for command in (["watch", "-c", path, "--for", "1s"], ["doctor"]):
        r = subprocess.run(["prlimit", f"--nofile={files}", "setpriv", "--bounding-set", "-sys_resource", "--inh-caps",
                            "-sys_resource", TILLWATCH, *command], capture_output=True, text=True,
                           timeout=COMMAND_SECONDS, check=False)
        (said,) = [line for line in (r.stdout + r.stderr).split("\n") if "cannot be loaded" in line]
        assert r.returncode == 1 and f"only {files} files" in said and "LimitNOFILE=" in said, r
        assert "the kernel refuses the programs" not in r.stdout + r.stderr, r


@pytest.mark.parametrize("args", [["--help"], ["-h"], ["help"], ["--version"], ["version"], ["watch", "--help"]], ids=" ".join)
def test_help_that_cannot_be_written_is_a_failure(args):
    with open("/dev/full", "wb") as full:
        r = subprocess.run([TILLWATCH, *args], stdout=full, stderr=subprocess.PIPE, timeout=10, check=False)
    assert r.returncode == 1 and b"standard output" in r.stderr, r


def test_the_version_names_the_features_built_in():
    r = run("--version")
    assert r.code == 0 and re.match(r"tillwatch \d+\.\d+\.\d+", r.out), r
    assert len(r.out.split()) > 3, r


# --- usage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("args", [
    [], ["no-such-command"], ["watch"], ["gate"], ["watch", "--no-such-option"], ["watch", "-c"],
    ["gate", "-c", "CONFIG"], ["watch", "-c", "CONFIG", "--for", "5"], ["watch", "-c", "CONFIG", "--for", "-5s"],
    ["watch", "-c", "CONFIG", "--for", "soon"], ["watch", "-c", "CONFIG", "--for", "0s"], ["init", "--for", "0ms"],
    ["watch", "-c", "CONFIG", "surplus"], ["top", "--for", "1x"],
], ids=" ".join)
def test_wrong_usage_exits_with_2_and_says_why(args, tmp_path):
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    r = run(*[path if a == "CONFIG" else a for a in args], seconds=10)
    assert r.code == 2 and r.err and r.out == "", r


@pytest.mark.parametrize("option", ["--config", "--for", "--log"])
def test_a_value_that_is_empty_is_missing(option):
    """As a variable of a pipeline that nobody has set."""
    r = run("watch", option, "", seconds=10)
    assert r.code == 2 and f"{option} needs a value" in r.err and r.out == "", r


def test_a_misspelt_command_is_answered_with_the_nearest():
    r = run("wach")
    assert r.code == 2 and "watch" in r.err, r


# --- bad configurations ----------------------------------------------------------------------------------------------


def edited(old, new):
    assert old in GOOD
    return GOOD.replace(old, new)


@pytest.mark.parametrize("text, line, words", [
    (edited("critical:", "critcal:"), 6, ["critcal", "critical"]),
    (edited("service: shop", "servce: shop"), 1, ["servce", "service"]),
    (edited("warmup: 10s", "warm_up: 10s"), 8, ["warm_up", "warmup"]),
    (edited("listen: \"127.0.0.1:8082\"", "lisen: \"127.0.0.1:8082\""), 4, ["lisen", "listen"]),
    (edited("tick: 5s", "tick: 5"), 8, ["tick", "5"]),
    (edited("tick: 5s", "tick: 5 parsecs"), 8, ["tick", "parsecs"]),
    (edited("p95: 300ms", "p95: fast"), 6, ["p95", "fast"]),
    (edited("arm: canary", "arm: baseline"), 4, ["baseline"]),
    (edited("arm: canary", "arm: canry"), 4, ["canry", "canary"]),
    (edited("127.0.0.1:8082", "127.0.0.1:99999"), 4, ["99999"]),
    (edited("127.0.0.1:8082", "localhost:8082"), 4, ["localhost"]),
    (edited("alpha: 0.05", "alpha: 7"), 8, ["alpha"]),
    (edited("alpha: 0.05", "alpha: .nan"), 8, ["alpha"]),
    (edited("GET /cart/{id}", "cart"), 7, ["cart"]),
    (edited("GET /cart/{id}", "POST /checkout"), 7, ["POST /checkout"]),
    (edited("[5%, 25%, 50%, 100%]", "[25%, 5%]"), 9, ["stage", "rise"]),
    (edited("v2: {", "v1: {"), 4, ["v1"]),
    (edited(" }\n  - { route: \"GET", "\n  - { route: \"GET"), 7, []),
    (edited("stages:", "\tstages:"), 9, []),
    (edited("match: { listen: \"127.0.0.1:8082\" }", "match: {}"), 4, ["match"]),
    ("", None, ["empty", "tillwatch init"]),
    ("- a\n- b\n", 1, []),
    ("service: \xff\xfe\n", 1, []),
    (GOOD + "&a [*a]\n", None, []),
])
def test_a_bad_config_is_refused_with_its_line_and_a_way_out(tmp_path, text, line, words):
    path = tmp_path / "bad.yaml"
    path.write_bytes(text.encode("latin-1"))
    r = run("watch", "-c", path, "--for", "1s", "--json", seconds=10)
    assert r.code == 2 and r.out == "", r
    if line:
        assert f"{path}:{line}:" in r.err, r
    for word in words:
        assert word in r.err, r


def test_a_config_that_is_not_there_is_named(tmp_path):
    r = run("watch", "-c", tmp_path / "absent.yaml", "--for", "1s")
    assert r.code in (1, 2) and "absent.yaml" in r.err and "No such file" in r.err, r


def test_a_directory_is_no_config(tmp_path):
    r = run("watch", "-c", tmp_path, "--for", "1s")
    assert r.code in (1, 2) and str(tmp_path) in r.err, r


# --- what is missing -------------------------------------------------------------------------------------------------


def test_a_port_nobody_listens_on_is_said_and_waited_for(tmp_path):
    port = net.free_port()
    path = tmp_path / "c.yaml"
    path.write_text(config_text({"v1": ("baseline", {"listen": f"127.0.0.1:{port}"})}))
    r = run("watch", "-c", path, "--for", "1s", "--json")
    assert r.code == 0, r
    assert str(port) in r.err and "v1" in r.err, r
    assert Document(r.out).requests() == 0


def test_without_privileges_the_command_says_what_is_missing(tmp_path):
    reachable = subprocess.run([watch.TILLWATCH, "--version"], user=65534, group=65534, capture_output=True, check=False)
    if reachable.returncode:
        pytest.skip("an unprivileged user cannot run the binary where it lies")
    path = tmp_path / "c.yaml"
    path.write_text(GOOD)
    open_to_all(path)
    for args in (["watch", "-c", path, "--for", "1s"], ["top", "--for", "1s"], ["gate", "-c", path, "--for", "1s"]):
        done = subprocess.run([watch.TILLWATCH, *map(str, args)], user=65534, group=65534, extra_groups=[],
                              capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 1, done
        assert re.search(r"root|CAP_|capabilit|privilege|permi", done.stderr), done
    doctor = subprocess.run([watch.TILLWATCH, "doctor"], user=65534, group=65534, extra_groups=[], capture_output=True,
                            text=True, timeout=20, check=False)
    assert doctor.returncode in (0, 1) and re.search(r"root|CAP_|capabilit", doctor.stdout), doctor


# --- output ----------------------------------------------------------------------------------------------------------


def test_off_a_terminal_watch_prints_plain_lines(nginx, tmp_path):
    server = nginx()
    path = tmp_path / "c.yaml"
    path.write_text(config_text({"v1": ("baseline", {"listen": f"127.0.0.1:{server.port}"}),
                                 "v2": ("canary", {"listen": f"127.0.0.1:{net.free_port()}"})}))
    r, _ = traffic_while(Background("watch", "-c", path, "--for", "3s"), server.port)
    assert r.code == 0, r
    assert "\x1b" not in r.out and "\r" not in r.out
    for word in ("GET /ok", "GET /missing", "GET /orders/{id}"):
        assert word in r.out, f"{word} is missing from: {r.out}"


def test_on_a_terminal_watch_redraws_and_leaves_the_terminal_sane(nginx, tmp_path):
    """script(1) gives it a terminal."""
    server = nginx()
    path = tmp_path / "c.yaml"
    path.write_text(config_text({"v1": ("baseline", {"listen": f"127.0.0.1:{server.port}"})}))
    command = f"{watch.TILLWATCH} watch -c {path} --for 2s"
    child = subprocess.Popen(["script", "-qec", command, "/dev/null"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, env=dict(os.environ, TERM="xterm", COLUMNS="120", LINES="40"))
    while child.poll() is None:
        ask(server.port, "GET", "/ok")
    out = child.stdout.read().decode("utf-8", "replace")
    child.stdout.close()
    assert child.returncode == 0 and "GET /ok" in out and "\x1b[" in out
    if "\x1b[?25l" in out:
        assert out.rindex("\x1b[?25h") > out.rindex("\x1b[?25l"), "the cursor stays hidden"
    if "\x1b[?1049h" in out:
        assert out.rindex("\x1b[?1049l") > out.rindex("\x1b[?1049h"), "the alternate screen stays"


def test_the_document_shows_nulls_never_zeros_for_what_was_not_measured(nginx, watching):
    """An endpoint of the config that nobody asked for has no latency."""
    server = nginx()
    w = watching(versions={"v1": ("baseline", {"listen": str(server.port)}), "v2": ("canary", {"listen": str(net.free_port())})},
                 endpoints=["GET /never", "GET /ok"], serving=[server.port])
    ask(server.port, "GET", "/ok")
    d = w.stop()
    for name, arm, a in d.arms():
        for kind, q in a["latency"].items():
            measured = a["requests"] > 0 and kind != "waited"  # nobody gave up
            assert (q["count"] > 0) == measured, f"{name} {arm} {kind}: {q} of {a['requests']} requests"
            for k, v in q.items():
                assert k == "count" or (v is None) == (q["count"] == 0), f"{name} {arm} {kind} {k} is {v}: {q}"


def test_the_stage_that_is_told_stands_in_the_document(nginx, watching, tmp_path):
    assert watching(nginx().port, args=["--stage", "25%"]).stop()["stage"] == 0.25
    assert watching(nginx(name="other").port).stop()["stage"] is None
    path = tmp_path / "stages.yaml"
    path.write_text(GOOD)
    for command in ("watch", "gate"):
        r = run(command, "-c", path, "--for", "1s", "--stage", "30%")
        assert r.code == 2 and "none of the stages of" in r.err and "5%, 25%, 50%, 100%" in r.err, r


def test_the_overhead_is_reported(nginx, watching):
    server = nginx()
    w = watching(server.port)
    for _ in range(200):
        ask(server.port, "GET", "/ok")
    d = w.stop()
    o = d["overhead"]
    assert 0 < o["agent_cpu_seconds"] < 5 and 1e6 < o["agent_rss_bytes"] < 40 * 2 ** 20, o
    assert o["kernel_ns_per_request"] is None or 10 < o["kernel_ns_per_request"] < 100_000
