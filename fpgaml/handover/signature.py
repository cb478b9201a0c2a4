"""Who made a folder: its certificate signed with a key of theirs, by OpenSSH's ssh-keygen, and verified by it."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from fpgaml.errors import AgreementError, OutputError, SigningError, ToolMissingError, printable
from fpgaml.handover.certificate import Certificate
from fpgaml.project_files import CERTIFICATE, SIGNATURE
from fpgaml.storage import write_text

TOOL = "ssh-keygen"
NAMESPACE = "fpgaml"
"""A signature is for one purpose: one for fpgaml is none for git."""
LONGEST_S = 60
"""For a key in a device that waits for a touch."""
NO_TOOL = f"{TOOL} of OpenSSH 8.2 or later"


@dataclass(frozen=True)
class Signature:
    """What is known of the signature of a certificate.

    Parameters
    ----------
    key : str
        Kind and fingerprint of the key that made it; empty where it was not looked at.
    signer : str
        Whose key that is; empty where nobody has said whose keys are known.
    complaint : str
        What is wrong with it; empty where nothing is.
    """

    key: str = ""
    signer: str = ""
    complaint: str = ""

    def __str__(self) -> str:
        if not self.key:
            return f"signature: there, and not verified, for want of {NO_TOOL}"
        if not self.signer:
            return f"signature: with {self.key}, and not verified: whose that is, --signers FILE tells"
        return f"signature: by {self.signer}, with {self.key}"


def check_key(key: Path) -> None:
    """Raise unless a key can sign, before there is anything to sign.

    Raises
    ------
    ToolMissingError
        There is no ssh-keygen, or an old one.
    SigningError
        There is no such key, it is none, or it needs somebody to type.
    """
    if not _has_tool():
        raise ToolMissingError(
            f"--sign needs {NO_TOOL}, which is not on the PATH (Debian: apt install openssh-client). Or leave --sign "
            "out: `fpgaml csim RUN --sign KEY` signs later"
        )
    if not key.is_file():
        raise SigningError(f"--sign {printable(key, 200)}: no such file. `ssh-keygen -t ed25519 -f FILE` makes a key")
    _signed(b"whether this key can sign", key)


def sign_certificate(project: Path, key: Path) -> None:
    """Sign the certificate of a project; errors are those of ``check_key``.

    Parameters
    ----------
    project : Path
        Handed over.
    key : Path
        A private key, or the public one of a pair whose private one an agent holds.

    Raises
    ------
    AgreementError
        The project is not as it was certified.
    """
    changes = Certificate.load(project).changes(project)
    if changes:
        raise AgreementError(
            f"{project}: is not signed: {changes[0]}. `fpgaml csim RUN --sign KEY` certifies it as it is"
        )
    written = project / SIGNATURE
    signature = _signed((project / CERTIFICATE).read_bytes(), key)
    if not written.is_file() or written.read_text(encoding="ascii", errors="replace") != signature:
        write_text(written, signature)


def read_signature(project: Path, signers: Path | None = None) -> Signature | None:
    """What is known of a project's signature; None where it has none and nobody asks whose it is.

    Parameters
    ----------
    project : Path
    signers : Path, optional
        Whose keys may sign: a file as OpenSSH's ``allowed_signers``, a name and a key in each line.

    Raises
    ------
    OutputError
        ``signers`` is not there.
    """
    if signers is not None and not signers.is_file():
        raise OutputError(
            f"--signers {printable(signers, 200)}: no such file. It has a name and a public key in each line"
        )
    path = project / SIGNATURE
    if path.is_symlink() or (path.exists() and not path.is_file()):
        return Signature(complaint=f"{SIGNATURE} should be a file, and is something else")
    if not path.exists():
        missing = f"{SIGNATURE} is missing: nobody has signed this folder"
        return None if signers is None else Signature(complaint=missing)
    if not _has_tool():
        unverified = Signature()
        return unverified if signers is None else Signature(complaint=str(unverified))
    return _verified(project, path, signers)


def _verified(project: Path, path: Path, signers: Path | None) -> Signature:
    content = (project / CERTIFICATE).read_bytes()
    given = ["-n", NAMESPACE, "-s", str(path.resolve())]
    fits = _run(["check-novalidate", *given], content)
    if fits.returncode:
        return Signature(complaint=f"{SIGNATURE} does not fit {CERTIFICATE}")
    _, _, key = (fits.stdout + fits.stderr).decode(errors="replace").strip().partition(" with ")
    if signers is None:
        return Signature(key)
    allowed = ["-f", str(signers.resolve())]
    names = _run(["find-principals", *allowed, "-s", str(path.resolve())], b"").stdout.decode(errors="replace")
    name, _, _ = names.partition("\n")[0].partition(",")  # may be a list
    if not name:
        return Signature(key, complaint=f"{SIGNATURE} was made with {key}, which {signers} does not have")
    if _run(["verify", *allowed, "-I", name, *given], content).returncode:
        told = f"{SIGNATURE} was made with {key}, with which {name} may not sign for fpgaml, by {signers}"
        return Signature(key, complaint=told)
    return Signature(key, name)


def _signed(content: bytes, key: Path) -> str:
    """The signature, as text."""
    try:
        done = _run(["sign", "-f", str(key.resolve()), "-n", NAMESPACE], content)
    except subprocess.TimeoutExpired as error:
        raise SigningError(f"--sign {printable(key, 200)}: {TOOL} has not signed within {LONGEST_S} s") from error
    if done.returncode == 0:
        return done.stdout.decode("ascii")
    where, said = f"--sign {printable(key, 120)}", done.stderr.decode(errors="replace")
    if "passphrase" in said:
        private = printable(key.with_suffix("") if key.suffix == ".pub" else key, 120)
        raise SigningError(
            f"{where}: the key has a passphrase, and fpgaml asks for none. `ssh-add {private}` gives it to an agent; "
            f"then --sign {private}.pub"
        )
    if "too open" in said:
        raise SigningError(f"{where}: others may read this key, so {TOOL} refuses it. `chmod 600` of it helps")
    raise SigningError(
        f"{where}: is no key that can sign. It should be a private key of OpenSSH, or the public key of one that an "
        f"agent holds (ssh-add). {TOOL} says: {printable(' '.join(said.split())[-160:], 160)}"
    )


def _has_tool() -> bool:
    return bool(shutil.which(TOOL)) and b"find-principals" in _run([], b"").stderr


def _run(arguments: list[str], content: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run ssh-keygen -Y with nobody there to be asked: no terminal, no window."""
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return subprocess.run(
        [TOOL, "-Y", *arguments],
        input=content,
        capture_output=True,
        check=False,
        env={**environment, "SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"},
        start_new_session=True,
        timeout=LONGEST_S,
    )
