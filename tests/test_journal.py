"""A journal keeps what it was given, through kills, full disks and several writers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from fpgaml.errors import OutputError
from fpgaml.journal import Journal


def event(number: int, **more: object) -> dict[str, object]:
    return {"event": "finished", "trial": f"trial {number}", "epochs": number, **more}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "journal.jsonl"


def filled(path, number=3):
    journal = Journal(path, space="a")
    for k in range(number):
        journal.append(event(k))
    return journal


def python(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_events_come_back_in_order_and_as_they_were(path):
    journal = Journal(path, space="a")
    events = [
        {
            "event": "started",
            "trial": "η–φ\n",
            "choices": {"bits": [8, 2], "norm": None},
            "epochs": 3,
            "from_epochs": 1,
        },
        {"event": "finished", "score": 0.1 + 0.2, "curves": {"loss": [1e-300, 0.5]}},
        {"event": "failed", "reason": 'not enough "memory"'},
    ]
    assert journal.read() == ()
    for number, one in enumerate(events, start=1):
        journal.append(one)
        assert journal.read() == tuple(events[:number])
    assert Journal(path).read() == tuple(events)
    assert Journal(path, space="a").read() == tuple(events)


def test_one_event_a_line_after_the_header(path):
    filled(path)
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(header) == {"event": "header", "version": 1, "space": "a"}
    assert [json.loads(line) for line in lines] == [event(k) for k in range(3)]


def test_a_journal_of_another_space_is_refused_and_stays_as_it_was(path):
    filled(path)
    before = path.read_bytes()
    with pytest.raises(OutputError, match=r"journal\.jsonl: is the journal of another space \(a, not b\)"):
        Journal(path, space="b")
    assert path.read_bytes() == before


def test_what_is_torn_at_any_byte_is_cut_off_before_the_next_event(path):
    journal = filled(path, 2)
    whole = path.read_bytes()
    begin = whole.rindex(b"\n", 0, -1) + 1
    for end in range(begin, len(whole)):
        path.write_bytes(whole[:end])
        assert journal.read() == (event(0),)
        assert path.read_bytes() == whole[:end]  # reading changes nothing
        Journal(path, space="a").append(event(7))
        assert journal.read() == (event(0), event(7))


def test_a_torn_header_is_written_again(path):
    filled(path, 0)
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(OutputError, match="holds no journal"):
            Journal(path).read()
        with pytest.raises(OutputError, match="holds no journal"):
            Journal(path).append(event(0))
        assert Journal(path, space="a").read() == ()
        assert path.read_bytes() == whole


def test_a_torn_line_that_is_longer_than_a_block(path):
    journal = filled(path, 1)
    with path.open("ab") as file:
        file.write(b'{"event": "finished", "curves": [' + b"1.0, " * 60000)
    journal.append(event(1))
    assert journal.read() == (event(0), event(1))
    assert path.read_bytes().count(b"\n") == 3
    assert path.read_bytes().endswith(b"}\n")


@pytest.mark.parametrize(
    "broken", [b'{"event": "fin', b"", b"[1]", b"3", b'{"trial": "a"}', b'{"event": 3}', b"\xff\xfe"]
)
def test_a_broken_line_elsewhere_is_told_with_its_number(path, broken):
    journal = filled(path, 3)
    lines = path.read_bytes().split(b"\n")
    lines[2] = broken
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(OutputError, match=r"journal\.jsonl:3: is no"):
        journal.read()


@pytest.mark.parametrize("content", ["notes", "notes\n", "[]\n", '{"event": "header"}\n', '{"event": "head'[:-2] + "!"])
def test_a_file_that_is_no_journal_is_refused_and_stays_as_it_was(path, content):
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(OutputError, match="journal"):
        Journal(path, space="a")
    with pytest.raises(OutputError, match="journal"):
        Journal(path).read()
    assert path.read_text() == content


def test_a_journal_of_another_version_is_refused(path):
    path.parent.mkdir()
    path.write_text('{"event": "header", "version": 2, "space": "a"}\n')
    with pytest.raises(OutputError, match="of version 1, found 'header' of version 2"):
        Journal(path, space="a")


def test_no_journal(path):
    with pytest.raises(OutputError, match=r"not found\. Has the search been started"):
        Journal(path).read()
    with pytest.raises(OutputError, match="not found"):
        Journal(path).append(event(0))
    assert not path.parent.exists()


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        Journal(tmp_path / "file" / "journal.jsonl", space="a")
    with pytest.raises(OutputError, match="cannot be written: Is a directory"):
        Journal(tmp_path, space="a")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"trial": "a"}, "needs a kind in 'event', found None"),
        ({"event": "header"}, "needs a kind in 'event', found 'header'"),
        ({"event": 3}, "needs a kind in 'event', found 3"),
        (event(0, score=float("nan")), "event 'finished' cannot be written as JSON"),
        (event(0, score=float("inf")), "event 'finished' cannot be written as JSON"),
        (event(0, score={1, 2}), "event 'finished' cannot be written as JSON"),
    ],
)
def test_what_is_no_event_is_refused_and_nothing_written(path, wrong, told):
    journal = filled(path, 1)
    with pytest.raises(OutputError, match=told):
        journal.append(wrong)
    assert journal.read() == (event(0),)


FULL = """
import resource, sys
from pathlib import Path
from fpgaml.errors import OutputError
from fpgaml.journal import Journal
path = Path(sys.argv[1])
journal = Journal(path, space="a")
journal.append({"event": "finished", "trial": "kept"})
size = path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, resource.RLIM_INFINITY))
try:
    journal.append({"event": "finished", "trial": "lost"})
except OutputError as error:
    print(error)
assert path.stat().st_size == size, "a part of the event stayed"
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.append({"event": "finished", "trial": "after"})
"""


def test_where_there_is_no_room_nothing_of_the_event_stays(path):
    process = python(FULL, path)
    told, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "cannot be written: File too large" in told
    assert [found["trial"] for found in Journal(path).read()] == ["kept", "after"]


WRITER = """
import sys
from pathlib import Path
from fpgaml.journal import Journal
journal = Journal(Path(sys.argv[1]), space="a")
for number in range(int(sys.argv[3])):
    journal.append({"event": "finished", "writer": int(sys.argv[2]), "number": number, "curve": [0.5] * 500})
    print(number, flush=True)
"""


def test_several_writers_do_not_get_into_each_others_way(path):
    processes = [python(WRITER, path, writer, 40) for writer in range(3)]
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    events = Journal(path).read()
    for writer in range(3):
        assert [found["number"] for found in events if found["writer"] == writer] == list(range(40))


def test_a_killed_writer_has_written_all_that_it_said_it_had(path):
    process = python(WRITER, path, 0, 1_000_000)
    assert process.stdout is not None
    said = [int(process.stdout.readline()) for _ in range(20)]
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    said += [int(line) for line in rest.split("\n")[:-1]]
    events = Journal(path, space="a").read()
    assert len(events) - len(said) in (0, 1)  # killed between writing an event and saying so
    assert [found["number"] for found in events] == list(range(len(events)))
    Journal(path, space="a").append(event(0))
    assert Journal(path).read()[-1] == event(0)
