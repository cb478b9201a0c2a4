"""What can be done to a handed-over folder: each kind of edit is caught by name, or cannot matter and is documented."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from handover_facts import environment, hand_over_hls, hand_over_rtl, make

from fpgaml.cli import main
from fpgaml.errors import AgreementError, OutputError
from fpgaml.handover.certificate import Certificate, certificate_digest
from fpgaml.handover.verification import verify
from fpgaml.project_files import file_hashes

Edit = Callable[[Path], object]
Case = tuple[Edit, Any]
"""With what is said of it by the script and by fpgaml; a pair where they say it in other words."""
WINDOWS = (b"\n", b"\r\n")
DOCUMENTATION = Path(__file__).parent.parent / "docs" / "firmware.md"


def replaced(name: str, pattern: str, replacement: str) -> Edit:
    """A file in which the first place of a pattern reads otherwise."""

    def edit(folder: Path) -> None:
        path = folder / name
        before = path.read_text(encoding="utf-8")
        after = re.sub(pattern, replacement, before, count=1)
        assert after != before
        path.write_text(after, encoding="utf-8")

    return edit


def bytes_of(name: str, change: Callable[[bytes], bytes]) -> Edit:
    def edit(folder: Path) -> None:
        path = folder / name
        assert change(path.read_bytes()) != path.read_bytes()
        path.write_bytes(change(path.read_bytes()))

    return edit


def added(name: str, content: str = "anything\n") -> Edit:
    def edit(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")

    return edit


def moved(name: str, to: str) -> Edit:
    return lambda folder: (folder / name).rename(folder / to)


def instead(name: str, make_other: Callable[[Path], object]) -> Edit:
    """Something else in the place of a file; the file stays outside of the folder."""

    def edit(folder: Path) -> None:
        (folder / name).rename(folder.parent / "kept")
        make_other(folder / name)

    return edit


def link_instead(name: str) -> Edit:
    """A link to the very same content."""
    return lambda folder: instead(name, lambda path: path.symlink_to(folder.parent / "kept"))(folder)


def swapped(first: str, second: str) -> Edit:
    def edit(folder: Path) -> None:
        text = (folder / first).read_bytes()
        (folder / first).write_bytes((folder / second).read_bytes())
        (folder / second).write_bytes(text)

    return edit


def certificate_with(change: Callable[[dict], object], **style: object) -> Edit:
    """The certificate, with other content or another layout, and all else as it was."""

    def edit(folder: Path) -> None:
        path = folder / "certificate.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        change(content)
        path.write_text(json.dumps(content, **({"indent": 2} | style)) + "\n", encoding="utf-8")

    return edit


def entry_removed(name: str, *, counted: bool) -> Edit:
    def change(content: dict) -> None:
        del content["files"][name]
        content["n_files"] -= counted

    return certificate_with(change)


def all_of(*edits: Edit) -> Edit:
    return lambda folder: [edit(folder) for edit in edits]


def flip(text: bytes) -> bytes:
    """The last bit of the byte in the middle."""
    middle = len(text) // 2
    return text[:middle] + bytes([text[middle] ^ 1]) + text[middle + 1 :]


def differs(*names: str) -> set[str]:
    return {f"{name} differs from the certificate" for name in names}


def unlisted(*names: str) -> set[str]:
    return {f"{name} is not in the certificate" for name in names}


def unreadable(name: str) -> set[str]:
    return {f"{name} is in the certificate, and cannot be read"}


def edited(name: str, pattern: str, replacement: str) -> Case:
    return replaced(name, pattern, replacement), differs(name)


def changed(name: str, change: Callable[[bytes], bytes]) -> Case:
    return bytes_of(name, change), differs(name)


def flipped(name: str) -> Case:
    return changed(name, flip)


def extra(name: str) -> Case:
    return added(name), unlisted(name)


OTHER_CERTIFICATE = {"certificate.json is not the one that README.md names: its SHA-256 is DIGEST"}
EDITED_CERTIFICATE = {
    *OTHER_CERTIFICATE,
    "certificate.json: has been edited: it does not name all of its COUNT files with their hashes",
}
ANY = object()
"""Whatever it is, of the certificate."""
NO_CERTIFICATE = (ANY, {"refused: a copy/certificate.json: is no certificate"})

HLS = {
    "a bit of a synthesized weight": edited("firmware/weights/w8.h", r"= \{", "= {1"),
    "a bit of a simulated weight": flipped("firmware/weights/w8.txt"),
    "a bias": flipped("firmware/weights/b3.h"),
    "a type": edited("firmware/defines.h", "ap_ufixed<8,2", "ap_ufixed<8,3"),
    "a reuse factor": edited("firmware/parameters.h", "reuse_factor = 4", "reuse_factor = 2"),
    "the top function": edited("firmware/tiny.cpp", "DATAFLOW", "PIPELINE"),
    "the ports": edited("firmware/tiny.h", r"layer8_out\[1\]", "layer8_out[2]"),
    "a header of hls4ml": flipped("firmware/nnet_utils/nnet_dense.h"),
    "a header of ap_types": flipped("firmware/ap_types/ap_fixed_base.h"),
    "the bridge": edited("tiny_bridge.cpp", "tiny_double", "tiny_single"),
    "the build script": edited("build_prj.tcl", "cosim      1", "cosim      0"),
    "the part to build for": edited("project.tcl", "xcvu9p", "xcvu13p"),
    "the clock to build for": edited("project.tcl", "clock_period 5.0", "clock_period 6.0"),
    "the logic synthesis": edited("vivado_synth.tcl", "-retarget", ""),
    "hls4ml's bench": edited("tiny_test.cpp", "return 0", "return 1"),
    "hls4ml's record": edited("hls4ml_config.yml", "Part: ", "Part: x"),
    "hls4ml's library": edited("build_lib.sh", "-O3", "-O2"),
    "a number of hls4ml's bench": flipped("tb_data/tb_input_features.dat"),
    "the bench": edited("check/words.cpp", "n_different \\? 1 : 0", "0"),
    "a library that hls4ml's bridge would load": extra("firmware/evil.so"),
    "a name that begins a listed one": extra("firmware/weights/w3"),
    "a name that a listed one begins": extra("firmware/defines.h.h"),
    "a listed name elsewhere": extra("firmware/weights/firmware/defines.h"),
    "a file beside hls4ml's vectors": extra("tb_data/more.dat"),
    "a file like those of tools, elsewhere": extra("firmware/vivado.log"),
    "a header that the bench would find first": extra("check/firmware/tiny.h"),
    "a bench from elsewhere": extra("check/build/words"),
    "two files swapped": (
        swapped("firmware/weights/w3.h", "firmware/weights/w8.h"),
        differs("firmware/weights/w3.h", "firmware/weights/w8.h"),
    ),
    "a folder that is a link": (
        link_instead("firmware/weights"),
        unlisted("firmware/weights"),
    ),
}

RTL = {
    "a constant": edited("src/tiny_rtl_stage0.v", "2'b10", "2'b00"),
    "the top module": flipped("src/tiny_rtl.v"),
    "an adder": flipped("src/shift_adder.v"),
    "the clock": flipped("src/tiny_rtl.xdc"),
    "where a bit is": edited("interface.json", '"low": 5', '"low": 4'),
    "the interpreter's circuit": flipped("model/network.npy"),
    "the interpreter's layers": flipped("model/layers.npy"),
    "what the interpreter's numbers are": flipped("model/numbers.json"),
    "the bench": edited("check/words.v", "SHOWN = 10", "SHOWN = 0"),
    "a module more": extra("src/evil.v"),
    "a table more": extra("src/table.mem"),
}

BOTH = {
    "an expected word": flipped("vectors/outputs.txt"),
    "an input word": flipped("vectors/inputs.txt"),
    "which event": flipped("vectors/events.txt"),
    "the network as fpgaml has it": edited("fpgaml.json", '"layers"', '"Layers"'),
    "a threshold in the README": edited("README.md", r"\| \d+ \|", "| 1 |"),
    "a blank in the README": edited("README.md", "Written", " Written"),
    "the end of the README": changed("README.md", lambda text: text[:-1]),
    "a digit of the README's digest": (
        replaced("README.md", r"(json`: `)..", r"\g<1>zz"),
        {*OTHER_CERTIFICATE, *differs("README.md")},
    ),
    "another digest in the README": (replaced("README.md", r"(json`: `).{64}", r"\g<1>" + "0" * 64), OTHER_CERTIFICATE),
    "a second digest in the README": (
        replaced("README.md", r"(SHA-256 of .*)", rf"\1\nSHA-256 of `certificate.json`: `{'0' * 64}`"),
        OTHER_CERTIFICATE,
    ),
    "the README's digest removed": (replaced("README.md", r"SHA-256 of .*\n", ""), OTHER_CERTIFICATE),
    "a threshold in the certificate": (
        certificate_with(lambda content: content["working_points"][0].update(word=1)),
        OTHER_CERTIFICATE,
    ),
    "the part in the certificate": (
        certificate_with(lambda content: content["hardware"].update(part="xcvu13p")),
        OTHER_CERTIFICATE,
    ),
    "how many words were compared": (
        certificate_with(lambda content: content["csim"].update(words=10**9)),
        OTHER_CERTIFICATE,
    ),
    "an entry removed": (
        entry_removed("vectors/inputs.txt", counted=False),
        {*EDITED_CERTIFICATE, *unlisted("vectors/inputs.txt")},
    ),
    "an entry removed with its count": (
        entry_removed("vectors/inputs.txt", counted=True),
        {*OTHER_CERTIFICATE, *unlisted("vectors/inputs.txt")},
    ),
    "an entry and its file removed": (
        all_of(
            entry_removed("vectors/inputs.txt", counted=True), lambda folder: (folder / "vectors/inputs.txt").unlink()
        ),
        OTHER_CERTIFICATE,
    ),
    "a hash in the certificate": (
        certificate_with(lambda content: content["files"].update({"Makefile": "0" * 64})),
        {*OTHER_CERTIFICATE, *differs("Makefile")},
    ),
    "a hash in capitals": (
        certificate_with(lambda content: content["files"].update({"Makefile": content["files"]["Makefile"].upper()})),
        ({*EDITED_CERTIFICATE, *unlisted("Makefile")}, {*OTHER_CERTIFICATE, *differs("Makefile")}),
    ),
    "an entry with another name": (
        certificate_with(lambda content: content["files"].update({"makefile": content["files"].pop("Makefile")})),
        {*OTHER_CERTIFICATE, *unlisted("Makefile"), *unreadable("makefile")},
    ),
    "more left to tools": (
        all_of(certificate_with(lambda content: content["left_out"].append("new/")), added("new/file")),
        ({*OTHER_CERTIFICATE, "files: not compared, because tools write them: new/"}, OTHER_CERTIFICATE),
    ),
    "a certificate of another layout": (certificate_with(lambda content: None, indent=1), (ANY, OTHER_CERTIFICATE)),
    "a certificate in another order": (certificate_with(lambda content: None, sort_keys=True), OTHER_CERTIFICATE),
    "a key twice": (replaced("certificate.json", r'(  "csim": \{)', r'  "csim": {},\n\1'), OTHER_CERTIFICATE),
    "a blank behind the certificate": (bytes_of("certificate.json", lambda text: text + b" "), OTHER_CERTIFICATE),
    "a certificate from Windows": (
        bytes_of("certificate.json", lambda text: text.replace(*WINDOWS)),
        (ANY, OTHER_CERTIFICATE),
    ),
    "half a certificate": (bytes_of("certificate.json", lambda text: text[: len(text) // 2]), NO_CERTIFICATE),
    "an empty certificate": (bytes_of("certificate.json", lambda text: b""), NO_CERTIFICATE),
    "no certificate": (
        lambda folder: (folder / "certificate.json").unlink(),
        (ANY, {"refused: a copy: holds no certificate.json"}),
    ),
    "a pipe in the place of the certificate": (instead("certificate.json", os.mkfifo), NO_CERTIFICATE),
    "a certificate that is a link": (
        link_instead("certificate.json"),
        {"certificate.json should be a file, and is a symbolic link"},
    ),
    "a comment in the Makefile": edited("Makefile", "^", "# nothing\n"),
    "the script that checks all": edited("check/check.sh", "status=1", "status=0"),
    "the script that compares words": edited("check/words.sh", "exit", "exit 0 #"),
    "a file at the top": extra("more.txt"),
    "a hidden file": extra(".hidden"),
    "a file in a hidden folder": extra(".git/config"),
    "a file in a new folder": extra("new/folder/file"),
    "a file beside the vectors": extra("vectors/more.txt"),
    "a name with blanks": extra(" a name "),
    "a name that begins with a dash": extra("-rf"),
    "a name like a pattern": extra("vectors/*"),
    "a name with quotes": (added("a'b\"c\\d`e$(f)"), unlisted("a'b\"c\\d`e$(f)")),
    "a name with a line break": (added("new\nREADME.md"), unlisted("new?README.md")),
    "a folder with a line break": (
        added("Makefile\n./README.md"),
        (unlisted("Makefile?."), unlisted("Makefile?./README.md")),
    ),
    "a name that a terminal would obey": (added("\x1b[2J"), unlisted("?[2J")),
    "a name in another alphabet": (added("μ"), unlisted("??")),
    "a link to a file of the folder": (lambda folder: (folder / "link").symlink_to("Makefile"), unlisted("link")),
    "a link to nowhere": (lambda folder: (folder / "link").symlink_to("nowhere"), unlisted("link")),
    "a link to a folder": (lambda folder: (folder / "link").symlink_to(folder / "vectors"), unlisted("link")),
    "a pipe": (lambda folder: os.mkfifo(folder / "pipe"), unlisted("pipe")),
    "a file removed": (lambda folder: (folder / "vectors/events.txt").unlink(), unreadable("vectors/events.txt")),
    "a folder removed": (
        lambda folder: shutil.rmtree(folder / "vectors"),
        {line for name in ("events", "inputs", "outputs") for line in unreadable(f"vectors/{name}.txt")},
    ),
    "the README removed": (
        lambda folder: (folder / "README.md").unlink(),
        {*OTHER_CERTIFICATE, *unreadable("README.md")},
    ),
    "a file with another name": (
        moved("vectors/events.txt", "vectors/Events.txt"),
        {*unreadable("vectors/events.txt"), *unlisted("vectors/Events.txt")},
    ),
    "an empty file": changed("vectors/events.txt", lambda text: b""),
    "a file without its last byte": changed("vectors/events.txt", lambda text: text[:-1]),
    "a byte behind a file": changed("vectors/events.txt", lambda text: text + b"\0"),
    "a file from Windows": changed("vectors/events.txt", lambda text: text.replace(*WINDOWS)),
    "a mark of the byte order": changed("fpgaml.json", lambda text: b"\xef\xbb\xbf" + text),
    "a link to a copy in the place of a file": (
        link_instead("Makefile"),
        {"Makefile should be a file, and is a symbolic link"},
    ),
    "a folder in the place of a file": (
        instead("fpgaml.json", Path.mkdir),
        {"fpgaml.json should be a file, and is something else"},
    ),
    "a pipe in the place of a file": (
        instead("fpgaml.json", os.mkfifo),
        {"fpgaml.json should be a file, and is something else"},
    ),
}


def touched(folder: Path) -> None:
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))


def permitted(folder: Path) -> None:
    for path in folder.rglob("*.*"):
        path.chmod(0o755)


def hard_linked(folder: Path) -> None:
    (folder.parent / "another name").hardlink_to(folder / "Makefile")


HARMLESS = {
    "time stamps": touched,
    "permission bits": permitted,
    "empty folders": lambda folder: (folder / "new" / "folder").mkdir(parents=True),
    "hard links": hard_linked,
    "what tools write": all_of(added("vivado.log"), added("vivado_4711.backup.jou"), added(".Xil/Vivado-1/x")),
    "another name of the folder": lambda folder: folder.rename(folder.parent / "another name"),
}
"""By the words that docs/firmware.md has for them."""


@pytest.fixture(scope="module")
def hls(tmp_path_factory) -> Path:
    return hand_over_hls(tmp_path_factory.mktemp("made") / "project")[0].directory


@pytest.fixture(scope="module")
def rtl(tmp_path_factory) -> Path:
    pytest.importorskip("da4ml")
    return hand_over_rtl(tmp_path_factory.mktemp("made") / "project")[0].directory


KINDS = {"hls": HLS | {name: edit for name, edit in BOTH.items() if name not in HLS}, "rtl": BOTH | RTL}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "edit"), [(kind, edit) for kind, edits in KINDS.items() for edit in edits])
def test_an_edit_is_caught_by_name(request, kind, edit, tmp_path):
    """By `make check-files`, in a Makefile and a script of the folder's own, and by fpgaml, in the same words."""
    make_edit, told = KINDS[kind][edit]
    folder = shutil.copytree(request.getfixturevalue(kind), tmp_path / "a copy")
    count = f" {len(Certificate.load(folder).files)} files"
    make_edit(folder)
    digest = certificate_digest(folder) or "none"
    done = make(folder, "check-files", env=environment())
    assert done.returncode == 2
    lines = set(done.stdout.replace(digest, "DIGEST").replace(count, " COUNT files").splitlines())
    by_script, by_fpgaml = told if isinstance(told, tuple) else (told, told)
    assert lines == by_script or (by_script is ANY and any("certificate.json" in line for line in lines)), lines
    try:
        found = {line.replace(digest, "DIGEST").replace(count, " COUNT files") for line in verify(folder).differences}
    except (AgreementError, OutputError) as error:
        place, what, *_ = re.split("[:;]", str(error).removeprefix(f"{folder.parent}/"))
        found = {f"refused: {place}:{what}"}
    assert found == by_fpgaml


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_matter_is_documented_and_let_pass(request, kind, tmp_path):
    documentation = DOCUMENTATION.read_text(encoding="utf-8")
    for number, (name, edit) in enumerate(HARMLESS.items()):
        folder = shutil.copytree(request.getfixturevalue(kind), tmp_path / str(number) / "a copy")
        edit(folder)
        folder = folder if folder.exists() else folder.with_name("another name")
        done = make(folder, "check-files", env=environment())
        assert (name, done.returncode, done.stderr) == (name, 0, "")
        assert verify(folder).differences == ()
        assert f"- **{name}**" in documentation.lower()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "outputs"),
    [
        (
            "hls",
            ["*_prj/ tiny_prj/x", "synthesis_*.log synthesis_csynth.log", "vivado*.log vivado_hls.log", "logs/ logs/x"],
        ),
        (
            "rtl",
            ["xsim.dir/ xsim.dir/words/x", "yosys.log yosys.log", "xelab.* xelab.pb", "xsim*.jou xsim_1.backup.jou"],
        ),
    ],
)
def test_what_tools_have_written_is_named_as_not_compared(request, kind, outputs, tmp_path):
    folder = shutil.copytree(request.getfixturevalue(kind), tmp_path / "a copy")
    patterns, names = zip(*(output.split() for output in outputs), strict=True)
    for name in names:
        added(name)(folder)
    said = make(folder, "check-files", env=environment()).stdout.splitlines()
    assert said[0].startswith("files: all ")
    assert set(said[1].removeprefix("files: not compared, because tools write them: ").split()) == set(patterns)


@pytest.mark.slow
def test_what_no_folder_can_tell_by_itself_is_told_from_outside(hls, tmp_path, capfd):
    """Whoever edits a file can edit what compares it, or all that names it; not what stands in the report."""
    digest = certificate_digest(hls)

    def checks(folder: Path) -> tuple[bool, list[str]]:
        passed = make(folder, "check-files", env=environment()).returncode == 0
        return passed, list(verify(folder, sha256=digest).differences)

    assert checks(hls) == (True, [])
    compared = "#!/bin/sh\necho files: all are those of the certificate\n"
    for name, text in (("Makefile", "check check-files:\n\t@echo passed\n"), ("check/files.sh", compared)):
        folder = shutil.copytree(hls, tmp_path / Path(name).name)
        (folder / name).write_text(text, encoding="utf-8")
        assert checks(folder) == (True, [f"{name} differs from the certificate"])
    folder = shutil.copytree(hls, tmp_path / "consistent")
    replaced("README.md", r"\| \d+ \|", "| 1 |")(folder)
    certificate = Certificate.load(folder)
    content = {**certificate.content, "files": file_hashes(folder, certificate.files)}
    content["working_points"][0]["word"] = 1
    forged = Certificate.of(content)
    (folder / "certificate.json").write_text(forged.text, encoding="utf-8")
    replaced("README.md", certificate.sha256, forged.sha256)(folder)
    told = f"certificate.json is not the one asked for: its SHA-256 is {forged.sha256}"
    assert checks(folder) == (True, [told])

    capfd.readouterr()
    assert main(["verify", str(folder)]) == 0
    assert "What tells whether it was handed over so is outside: --sha256 with" in capfd.readouterr().out
    assert main(["verify", str(hls), "--sha256", digest.upper()]) == 0
    assert "It is the folder that was handed over." in capfd.readouterr().out
    assert main(["verify", str(folder), "--sha256", digest, "--json"]) == 1
    said = capfd.readouterr()
    assert json.loads(said.out)["differences"] == [told]
    assert said.err == f"fpgaml: {folder}: is not as it was handed over, in 1 place: {told}\n"
    assert main(["verify", str(tmp_path)]) == 2
    with pytest.raises(SystemExit):
        main(["verify", str(hls), "--sha256", digest[1:]])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        '{"files": 3, "left_out": []}',
        '{"files": {"a": 3}, "left_out": []}',
        '{"files": {"a": "0"}, "left_out": []}',
        '{"files": {"../a": "' + "0" * 64 + '"}, "left_out": []}',
        '{"files": {"/etc/passwd": "' + "0" * 64 + '"}, "left_out": []}',
        '{"files": {"a\\u0000": "' + "0" * 64 + '"}, "left_out": []}',
        '{"files": {}, "left_out": ["' + "a*" * 50 + '"]}',
        '{"files": {}, "left_out": null}',
        "[" * 100_000,
        "{" + "\x1b[2J" * 1000,
        "\udcff\udcfe",
    ],
)
def test_a_certificate_by_somebody_hostile_is_refused(tmp_path, text, capsys):
    (tmp_path / "certificate.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert main(["verify", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert re.fullmatch(r"fpgaml: .*certificate\.json: is no certificate: [ -~…]+\n", said)
    assert len(said) < 500


@pytest.mark.slow
def test_many_differences_are_counted(hls, tmp_path):
    folder = shutil.copytree(hls, tmp_path / "a copy")
    for number in range(50):
        added(f"new/{number}")(folder)
    *shown, last = make(folder, "check-files", env=environment()).stdout.splitlines()
    assert (len(shown), last) == (40, "and 10 more")


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(hls, tmp_path):
    folder = shutil.copytree(hls, tmp_path / "a copy")
    (folder / "Makefile").chmod(0o644)
    (folder / "fpgaml.json").chmod(0)
    told = "fpgaml.json is in the certificate, and cannot be read"
    assert make(folder, "check-files", env=environment()).stdout.splitlines() == [told]
    assert verify(folder).differences == (told,)


def test_the_edits_are_at_least_forty_five():
    assert min(len(edits) for edits in KINDS.values()) >= 45
