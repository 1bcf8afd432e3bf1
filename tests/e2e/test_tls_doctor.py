# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
What doctor says of the TLS of the watched processes. Oracles: the servers' processes, and readelf. All servers are there
at once, and doctor, which loads what it speaks of, looks at them twice: for machines and for people.
"""
import collections
import contextlib
import json
import os
import re
import shutil
import subprocess

import pytest

from tw import servers, tls_servers, watch
from tw.proc import children

Looked = collections.namedtuple("Looked", "servers listed text why_no_uring copy")


def build_id(path):
    notes = subprocess.run(["readelf", "-n", path], capture_output=True, text=True, check=True).stdout
    return re.search(r"Build ID: ([0-9a-f]+)", notes).group(1)


def library_of_its_own(tmp):
    """A copy of nginx's libssl."""
    found = subprocess.run("ldd $(command -v nginx || echo /usr/sbin/nginx) | sed -n 's/.*libssl.* => \\([^ ]*\\).*/\\1/p'",
                           shell=True, capture_output=True, text=True, check=True).stdout.strip()
    libs = tmp / "libs"
    libs.mkdir()
    return found, shutil.copy(found, libs / os.path.basename(found))


def doctor(config, *args):
    r = watch.run("doctor", "-c", config, *args)
    assert r.code == 0, r
    return r.out


@pytest.fixture(scope="module")
def looked(request, tmp_path_factory, certificate):
    """nginx with two workers, the same on a copy of its library that is deleted once it runs, and one without TLS."""
    tmp = tmp_path_factory.mktemp("doctor")
    why_no_uring = None
    with contextlib.ExitStack() as ends:
        found, copy = library_of_its_own(tmp)
        there = {"plain": tls_servers.nginx(tmp, certificate, workers=2)}
        ends.callback(there["plain"].stop)
        there["replaced"] = tls_servers.nginx(tmp, certificate, name="replaced",
                                              env={"LD_LIBRARY_PATH": os.path.dirname(copy)})
        ends.callback(there["replaced"].stop)
        os.unlink(copy)
        try:
            there["uring"] = servers.uring(request.getfixturevalue("uring_programs")[0], tmp)
            ends.callback(there["uring"].stop)
        except pytest.skip.Exception as e:
            why_no_uring = str(e)
        config = tmp / "doctor.yaml"
        config.write_text(watch.config_text({name: (arm, {"listen": f"127.0.0.1:{s.port}"})
                                             for arm, (name, s) in zip(watch.ARMS, there.items())}))
        listed = collections.defaultdict(dict)
        for t in json.loads(doctor(config, "--json"))["tls"]:
            listed[t["version"]][t["pid"]] = t
        yield Looked(there, listed, doctor(config), why_no_uring, (found, copy))


def test_every_process_of_nginx_is_listed_with_its_library_and_places(looked):
    server, listed = looked.servers["plain"], looked.listed["plain"]
    assert set(listed) == {server.pid, *children(server.pid)} and len(listed) == 3
    for t in listed.values():
        assert (t["comm"], t["version"], t["note"]) == ("nginx", "plain", None)
        (lib,) = [l for l in t["libraries"] if l["library"]]
        assert lib["library"] == "OpenSSL" and lib["version"].startswith("OpenSSL") and not lib["deleted"]
        assert os.path.basename(lib["path"]).startswith("libssl.so") and lib["build_id"] == build_id(lib["path"])
        functions = {p["function"] for p in lib["places"]}
        assert {"SSL_write", "SSL_free"} <= functions and any("read" in f for f in functions)
        assert {p["placement"] for p in lib["places"]} <= {"emulated", "stepped", "return address replaced"}


def test_people_read_each_library_once(looked):
    """There are two: nginx's, in three processes, and the copy, in two."""
    assert len(re.findall(r"^  plain, process \d+ \(nginx\)$", looked.text, re.M)) == 3
    assert len(re.findall(r"^  replaced, process \d+ \(nginx\)$", looked.text, re.M)) == 2
    assert len(re.findall(r"libssl\.so\.\S+( \(.*\))?: as above$", looked.text, re.M)) == 3
    assert len(re.findall(r"^      SSL_free ", looked.text, re.M)) == 2


def test_a_server_without_a_library_is_said_to_have_none(looked):
    if looked.why_no_uring:
        pytest.skip(looked.why_no_uring)
    pid = looked.servers["uring"].pid
    ((listed, t),) = looked.listed["uring"].items()
    assert listed == pid and t["libraries"] == [] and t["note"] is None
    assert re.search(rf"process {pid} \(uring_a\): no TLS library", looked.text)


def test_a_library_replaced_on_disk_is_told_and_still_found(looked):
    server, listed = looked.servers["replaced"], looked.listed["replaced"]
    assert set(listed) == {server.pid, *children(server.pid)}
    found, copy = looked.copy
    for t in listed.values():
        (lib,) = [l for l in t["libraries"] if l["library"]]
        assert lib["deleted"] and lib["path"] == str(copy) and lib["build_id"] == build_id(found)
