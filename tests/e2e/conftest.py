# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Fixtures. Tests marked `tool` need the tillwatch binary and root; all others check the harness by itself."""
import os
import shutil
import signal
import sys

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from tw import dry, h2_servers, net, rawtcp, servers, tls, tls_servers, watch  # noqa: E402
from tw.wait import until  # noqa: E402

TEST_SECONDS = 300  # far more than any takes, on a busy machine as well


def pytest_configure(config):
    config.addinivalue_line("markers", "harness: checks the servers, clients and oracles; needs no tillwatch")
    config.addinivalue_line("markers", "alone: holds clocks against each other, or looks at the whole host; no other test at once")


def pytest_report_header():
    return "DRY RUN: tillwatch is not run, nothing is tested" if watch.DRY else f"tillwatch: {watch.TILLWATCH}"


def pytest_sessionfinish(session):
    if watch.DRY:
        session.exitstatus = 5


@pytest.fixture
def not_in_a_dry_run():
    """For tests that run the tool by themselves, and not by watching()."""
    if watch.DRY:
        pytest.skip("a dry run does not run the tool")


def pytest_collection_modifyitems(items):
    missing = watch.binary_missing()
    if missing:
        for item in items:
            if "harness" not in item.keywords:
                item.add_marker(pytest.mark.skip(reason=missing))


@pytest.fixture(autouse=True)
def deadline():
    """No test may hang the run."""

    def late(*_):
        raise TimeoutError(f"the test took longer than {TEST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(TEST_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def started(request):
    """started(thing) ends thing (by stop, close or discard) after the test, last first."""

    def register(thing):
        for name in ("discard", "stop", "close"):
            if hasattr(thing, name):
                request.addfinalizer(getattr(thing, name))
                break
        return thing

    return register


@pytest.fixture
def nginx(tmp_path, started):
    def start(**options):
        if not shutil.which("nginx"):
            pytest.skip("nginx is not installed")
        return started(servers.Nginx(tmp_path, **options))

    return start


@pytest.fixture
def raw_server(started):
    def start(handler, **options):
        return started(servers.RawServer(handler, **options))

    return start


@pytest.fixture
def watching(tmp_path, started):
    """
    watching(port): `tillwatch watch --json`, attached, with one version on that port.
    watching(versions=…, endpoints=…, …): with that configuration.
    """

    def start(port=None, host="127.0.0.1", **options):
        if port is not None:
            where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            options["versions"] = {"v1": ("baseline", {"listen": where})}
            options["serving"] = [port]
        return started((dry.Watch if watch.DRY else watch.Watch)(tmp_path, **options))

    return start


@pytest.fixture
def watching_each(watching):
    """watching_each(server, …): up to three servers under one watch, one an arm, in the order of watch.ARMS."""

    def start(*several, **options):
        return watching(**watch.one_an_arm(*several), **options)

    return start


@pytest.fixture
def tls_server(tmp_path, certificate, tls_program, started):
    """tls_server(kind, name): a server of that kind (tls_servers.start), with servers/app.py behind it if it is a proxy."""

    def start(kind, name=None, **options):
        app = None
        if kind in tls_servers.FRONTS:
            app = started(servers.app(tmp_path, f"app_of_{name or kind}"))
        return started(tls_servers.start(kind, tmp_path, certificate, app, tls_program, name, **options))

    return start


@pytest.fixture
def h2_server(tmp_path, certificate, started):
    """h2_server(kind, tls=False): a server of that kind (h2_servers.start), with servers/app.py behind it if it is a proxy."""

    def start(kind, tls=False, name=None, **options):
        name = name or kind + ("-tls" if tls else "")
        app = started(servers.app(tmp_path, f"app_of_{name}")) if kind in h2_servers.FRONTS else None
        return started(h2_servers.start(kind, tmp_path, certificate if tls else None, app, name, **options))

    return start


@pytest.fixture
def tun(request):
    reason = rawtcp.unavailable()
    if reason:
        pytest.skip(reason)
    device = rawtcp.Tun()
    request.addfinalizer(device.close)
    return device


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A file with a key and its certificate, made for this run."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    return tls.make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def tls_program(tmp_path_factory):
    """tls_program(kind): servers/tls_server.c, built with that library when it is first wanted."""
    directory = tmp_path_factory.mktemp("tls")
    return lambda kind: tls_servers.build(directory, kind)


@pytest.fixture(scope="session")
def uring_programs(tmp_path_factory):
    """Two builds of the io_uring server, alike but for their build ids."""
    directory = tmp_path_factory.mktemp("uring")
    if not os.path.exists("/usr/include/liburing.h"):
        pytest.skip("liburing is not installed")
    try:
        with open("/proc/sys/kernel/io_uring_disabled", encoding="ascii") as f:
            if f.read().strip() != "0":
                pytest.skip("io_uring is disabled by the sysctl kernel.io_uring_disabled")
    except FileNotFoundError:
        pass  # kernels before 6.6 have no such switch
    return [servers.build_uring(directory, "uring_a", "aaaaaaaa11111111"),
            servers.build_uring(directory, "uring_b", "bbbbbbbb22222222")]


class Cgroup:
    """A cgroup v2 that is removed with the parents that had to be made for it."""

    def __init__(self, mount, path):
        self.made = []
        self.directory = mount
        for piece in path.strip("/").split("/"):
            self.directory = os.path.join(self.directory, piece)
            if not os.path.isdir(self.directory):
                os.mkdir(self.directory)
                self.made.append(self.directory)

    def close(self):
        for directory in reversed(self.made):
            until(lambda d=directory: removed(d), f"{directory} to be empty")


def removed(directory):
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


@pytest.fixture
def cgroup(started):
    """cgroup("/a/b") makes that cgroup v2, and returns its directory. It goes after the servers that are put into it."""
    mount = cgroup2_mount()
    if not mount:
        pytest.skip("no cgroup v2 mount")
    return lambda path: started(Cgroup(mount, path)).directory


def cgroup2_mount():
    with open("/proc/mounts", encoding="utf-8") as f:
        for line in f:
            fields = line.split()
            if fields[2] == "cgroup2":
                return fields[1]
    return None


@pytest.fixture
def ipv6():
    if not net.has_ipv6():
        pytest.skip("no IPv6 loopback address")
