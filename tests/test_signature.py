"""Who made a folder: signing with a key of OpenSSH, and what the folder's own check and fpgaml say of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from handover_facts import environment, make
from small_study import write_study

from fpgaml.backends import get_backend
from fpgaml.cli import main
from fpgaml.errors import AgreementError, OutputError, SigningError, ToolMissingError
from fpgaml.handover.certificate import Certificate
from fpgaml.handover.signature import check_key, read_signature, sign_certificate
from fpgaml.handover.verification import verify
from fpgaml.project_files import file_hashes

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")

KEY = r"ED25519 key SHA256:[A-Za-z0-9+/]{43}"
UNSIGNED = "certificate.json.sig is missing: nobody has signed this folder"
MISFIT = "certificate.json.sig does not fit certificate.json"


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> Path:
    """Of Alice and Eve, one with a passphrase; and files that say whose may sign."""
    folder = tmp_path_factory.mktemp("keys")
    for name, passphrase in (("alice", ""), ("eve", ""), ("locked", "a secret")):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", f"{name}@example.org", "-f", name]
        subprocess.run(command, cwd=folder, check=True)
    public = {name: (folder / f"{name}.pub").read_text(encoding="ascii") for name in ("alice", "eve")}
    signers = {
        "both": f'alice,alice@example.org namespaces="fpgaml" {public["alice"]}eve {public["eve"]}',
        "eve only": f"eve {public['eve']}",
        "for git": f'alice namespaces="git" {public["alice"]}',
        "until yesterday": f'alice valid-before="20200101" {public["alice"]}',
        "nobody": "# nobody yet\n",
    }
    for name, text in signers.items():
        (folder / name).write_text(text, encoding="ascii")
    return folder


def certify(folder: Path) -> Path:
    """Write what a hand-over has of its own, over whatever is in the folder."""
    readme = folder / "README.md"
    readme.write_text(f"SHA-256 of `certificate.json`: `{'0' * 64}`\nthreshold: 5\n", encoding="utf-8")
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    files = file_hashes(folder, [name for name in names if not name.startswith("certificate.json")])
    certificate = Certificate.of({"left_out": [], "n_files": len(files), "files": files})
    readme.write_text(readme.read_text(encoding="utf-8").replace("0" * 64, certificate.sha256), encoding="utf-8")
    (folder / "certificate.json").write_text(certificate.text, encoding="utf-8")
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    """With the Makefile and the scripts of a hand-over."""
    made = tmp_path / "a folder"
    for name, template in get_backend("vivado").bench_files().items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(template, made / name)
    return certify(made)


def said(folder: Path, *arguments: str, env: dict[str, str] | None = None) -> tuple[bool, str]:
    """Whether `make check-files` passes, and its line on the signature."""
    done = make(folder, "check-files", *arguments, env=env or environment())
    assert done.returncode in (0, 2)
    first, *others = done.stdout.splitlines()
    assert first.startswith("files: all")
    return done.returncode == 0, "\n".join(others)


def test_a_signature_names_who_made_a_folder(folder, keys):
    assert said(folder) == (True, "")
    assert read_signature(folder) is None
    sign_certificate(folder, keys / "alice")
    before = (folder / "certificate.json.sig").stat().st_mtime_ns
    sign_certificate(folder, keys / "alice")  # the same again
    assert (folder / "certificate.json.sig").stat().st_mtime_ns == before

    passes, line = said(folder, f"SIGNERS={keys / 'both'}")
    assert passes
    assert re.fullmatch(f"signature: by alice, with {KEY}", line)
    found = verify(folder, signers=keys / "both")
    assert (found.differences, found.known, str(found.signature)) == ((), True, line)

    passes, line = said(folder)
    assert passes
    assert re.fullmatch(f"signature: with {KEY}, and not verified: whose that is, make check SIGNERS=FILE tells", line)
    found = verify(folder)
    assert str(found.signature) == line.replace("make check SIGNERS=FILE", "--signers FILE")
    assert not found.known

    sign_certificate(folder, keys / "eve")
    assert said(folder, f"SIGNERS={keys / 'both'}")[1].startswith("signature: by eve, with ")


@pytest.mark.parametrize(
    ("signers", "told"),
    [
        ("eve only", rf"certificate\.json\.sig was made with {KEY}, which FILE does not have"),
        ("nobody", rf"certificate\.json\.sig was made with {KEY}, which FILE does not have"),
        ("for git", rf"certificate\.json\.sig was made with {KEY}, with which alice may not sign for fpgaml, by FILE"),
        ("until yesterday", rf"certificate\.json\.sig was made with {KEY}, .*FILE.*"),
    ],
)
def test_a_key_that_may_not_sign_is_named(folder, keys, signers, told):
    sign_certificate(folder, keys / "alice")
    assert_complaint(folder, keys / signers, told)


def assert_complaint(folder: Path, signers: Path, told: str) -> None:
    """By the folder's own check and by fpgaml, in the same words."""
    passes, line = said(folder, f"SIGNERS={signers}")
    assert not passes
    assert re.fullmatch(told, line.replace(str(signers), "FILE")), line
    assert verify(folder, signers=signers).differences == (line,)


def test_a_signature_that_is_missing_or_of_another_certificate_is_named(folder, keys):
    assert_complaint(folder, keys / "both", UNSIGNED)
    sign_certificate(folder, keys / "alice")
    signature = folder / "certificate.json.sig"
    genuine = signature.read_text(encoding="ascii")
    (folder / "README.md").unlink()
    (folder / "firmware.h").write_text("edited\n", encoding="utf-8")
    certify(folder)  # all of it anew, and consistent
    assert_complaint(folder, keys / "both", MISFIT)
    assert said(folder) == (False, MISFIT)
    for text in ("", "no signature\n", genuine[:100], genuine.replace("A", "B")):
        signature.write_text(text, encoding="ascii")
        assert said(folder) == (False, MISFIT)
        assert verify(folder).differences == (MISFIT,)
    signature.unlink()
    signature.symlink_to(keys / "alice.pub")
    assert_complaint(folder, keys / "both", r"certificate\.json\.sig should be a file, and is something else")
    signature.unlink()
    os.mkfifo(signature)
    assert_complaint(folder, keys / "both", r"certificate\.json\.sig should be a file, and is something else")


def test_a_list_of_signers_that_is_not_there(folder, keys, capsys):
    sign_certificate(folder, keys / "alice")
    assert said(folder, "SIGNERS=/not/here") == (False, "SIGNERS=/not/here: cannot be read")
    with pytest.raises(OutputError, match="--signers /not/here: no such file"):
        verify(folder, signers=Path("/not/here"))
    assert main(["verify", str(folder), "--signers", str(keys / "both")]) == 0
    assert "It is the folder that was handed over." in capsys.readouterr().out
    assert main(["verify", str(folder), "--signers", str(keys / "eve only"), "--json"]) == 1
    assert capsys.readouterr().err.startswith(
        f"fpgaml: {folder}: is not as it was handed over, in 1 place: certificate"
    )


def test_without_the_tool_it_is_said_that_nothing_was_verified(folder, keys, tmp_path, monkeypatch):
    sign_certificate(folder, keys / "alice")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "make", "sha256sum", "sed", "awk", "grep", "tr", "find", "sort", "cat"):
        (tools / name).symlink_to(str(shutil.which(name)))
    told = "signature: there, and not verified, for want of ssh-keygen of OpenSSH 8.2 or later"
    for old in (None, "#!/bin/sh\necho 'unknown option -- Y' >&2\nexit 1\n"):
        if old is not None:
            (tools / "ssh-keygen").write_text(old, encoding="ascii")
            (tools / "ssh-keygen").chmod(0o755)
        monkeypatch.setenv("PATH", str(tools))
        assert said(folder, env=environment()) == (True, told)
        assert str(verify(folder).signature) == told
        assert said(folder, f"SIGNERS={keys / 'both'}", env=environment()) == (False, told)
        assert verify(folder, signers=keys / "both").differences == (told,)
        with pytest.raises(ToolMissingError, match=r"--sign needs ssh-keygen of OpenSSH 8.2 .*openssh-client"):
            check_key(keys / "alice")


def test_keys_that_cannot_sign_are_told_with_what_helps(keys, tmp_path, monkeypatch):
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    text = tmp_path / "notes\x1b[2J.txt"
    text.write_text("no key\n", encoding="utf-8")
    unlocked = shutil.copy(keys / "alice", tmp_path / "readable by all")
    Path(unlocked).chmod(0o644)
    alone = shutil.copy(keys / "alice.pub", tmp_path / "alone.pub")
    for key, told in (
        (tmp_path / "nowhere", "no such file. `ssh-keygen -t ed25519 -f FILE` makes a key"),
        (tmp_path, "no such file"),
        (keys / "locked", f"has a passphrase, and fpgaml asks for none. `ssh-add {keys / 'locked'}` gives"),
        (keys / "locked.pub", f"then --sign {keys / 'locked.pub'}"),
        (keys / "both", "is no key that can sign. It should be a private key of OpenSSH"),
        (Path(alone), "the public key of one that an agent holds (ssh-add)"),
        (Path(unlocked), "others may read this key, so ssh-keygen refuses it. `chmod 600` "),
    ):
        with pytest.raises(SigningError) as caught:
            check_key(key)
        assert str(caught.value).startswith(f"--sign {key}: ")
        assert told in str(caught.value)
        assert len(str(caught.value)) <= 500
    with pytest.raises(SigningError) as caught:
        check_key(text)
    assert "\x1b" not in str(caught.value)


@pytest.fixture
def agent(keys, tmp_path, monkeypatch) -> Iterator[None]:
    """One that holds the key with the passphrase."""
    if shutil.which("ssh-agent") is None or shutil.which("ssh-add") is None:
        pytest.skip("ssh-agent or ssh-add is not installed")
    socket = tmp_path / "agent"
    running = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        while not socket.exists():
            assert running.poll() is None
        answer = tmp_path / "answer"
        answer.write_text("#!/bin/sh\necho a secret\n", encoding="ascii")
        answer.chmod(0o755)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        asking = {"SSH_ASKPASS": str(answer), "SSH_ASKPASS_REQUIRE": "force"}
        subprocess.run(
            ["ssh-add", "-q", str(keys / "locked")],
            env={**os.environ, **asking},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
        )
        yield
    finally:
        running.terminate()
        running.wait()


def test_a_key_with_a_passphrase_signs_through_an_agent(agent, folder, keys):
    check_key(keys / "locked.pub")
    sign_certificate(folder, keys / "locked.pub")
    assert read_signature(folder).key.startswith("ED25519 key")


def test_only_what_is_as_certified_is_signed(folder, keys):
    (folder / "Makefile").write_text("check:\n", encoding="utf-8")
    with pytest.raises(AgreementError, match=r"is not signed: Makefile differs from the certificate"):
        sign_certificate(folder, keys / "alice")
    assert not (folder / "certificate.json.sig").exists()


@pytest.mark.parametrize("key", ["nowhere", "locked"])
def test_a_run_tries_the_key_before_any_work(keys, key, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    study = write_study(tmp_path)
    assert main(["run", str(study), "--output", str(tmp_path / "out"), "--sign", str(keys / key)]) == 2
    assert capsys.readouterr().err.startswith(f"fpgaml: --sign {keys / key}: ")
    assert not (tmp_path / "out").exists()
