# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The binary as it was built: what makes an error of ours hard to use. Oracle: readelf."""
import platform
import re
import subprocess

import pytest

from tw import watch

X86 = platform.machine() == "x86_64"


def readelf(*options):
    return subprocess.run(["readelf", "-W", *options, watch.TILLWATCH], check=True, capture_output=True, text=True).stdout


@pytest.fixture(autouse=True, scope="module")
def a_binary_for_use():
    if watch.DRY:
        pytest.skip("a dry run does not run the tool")
    if "__asan_init" in readelf("--dyn-syms"):
        pytest.skip("built with sanitizers, which is another build than that for use")


def segments():
    """(type, flags) of each."""
    return re.findall(r"^ +([A-Z_]+) +0x\w+ 0x\w+ 0x\w+ 0x\w+ 0x\w+ ([RWE ]{3})", readelf("-l"), re.M)


def imported():
    return set(re.findall(r" UND ([\w]+)(?:@|$)", readelf("--dyn-syms"), re.M))


def test_it_is_loaded_at_another_place_each_time():
    assert re.search(r"Type: +DYN ", readelf("-h"))
    assert re.search(r"\(FLAGS_1\) .*\bPIE\b", readelf("-d"))
    assert "TEXTREL" not in readelf("-d")


def test_what_the_linker_fills_in_is_read_only_once_it_runs():
    assert "GNU_RELRO" in [kind for kind, _ in segments()]
    assert re.search(r"\(FLAGS_1\) .*\bNOW\b", readelf("-d"))
    assert " .got.plt " not in readelf("-S")  # all of it lies in .got, within GNU_RELRO


def test_nothing_is_both_written_and_run():
    found = segments()
    assert [flags for kind, flags in found if kind == "GNU_STACK"] == ["RW "]
    assert [(kind, flags) for kind, flags in found if "W" in flags and "E" in flags] == []


def test_libraries_come_from_the_system_alone():
    assert not re.search(r"\((RPATH|RUNPATH)\)", readelf("-d"))


def test_calls_that_fill_buffers_check_their_room():
    calls = imported()
    assert {"__stack_chk_fail", "__snprintf_chk", "__vsnprintf_chk", "__fprintf_chk"} <= calls
    # Each of these checks its format as well, wherever it writes: one without means a file that does not.
    assert calls & {"printf", "fprintf", "vsnprintf", "sprintf", "vasprintf", "asprintf"} == set()


def test_every_file_was_compiled_with_every_flag():
    """Of the flags that leave no other trace. DWARF has one producer a file, with those given to it."""
    units = re.findall(r"DW_AT_producer.*: (GNU .*)$", readelf("--debug-dump=info", "--dwarf-depth=1"), re.M)
    wanted = ["-fstack-protector-strong", "-fPIE", "-O2"]
    if X86:
        wanted += ["-fstack-clash-protection", "-fcf-protection=full"]
    assert len(units) > 100
    for unit in units:
        assert [flag for flag in wanted if flag not in unit.split()] == []


@pytest.mark.skipif(not X86, reason="an instruction of x86-64")
def test_functions_begin_where_an_indirect_jump_may_go():
    """The mark of the whole file is the linker's, who gives none while the system's startup files have none."""
    code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "--disassemble=main", watch.TILLWATCH], check=True,
                          capture_output=True, text=True).stdout
    assert re.search(r"<main>:\n +\w+:\s+endbr64", code)
