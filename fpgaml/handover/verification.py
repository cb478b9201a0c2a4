"""A handed-over folder checked from outside: by fpgaml, with what only those who made it can tell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpgaml.errors import AgreementError, OutputError
from fpgaml.handover.certificate import Certificate
from fpgaml.handover.signature import Signature, read_signature
from fpgaml.project_files import CERTIFICATE


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was found in a handed-over folder.

    Parameters
    ----------
    folder : Path
    sha256 : str
        Of its certificate.
    n_files : int
        That the certificate lists.
    signature : Signature, optional
        Of the certificate; None where there is none.
    known : bool
        Whether the certificate was compared with something from outside: a hash, or the keys of signers.
    differences : tuple of str
        What is not as it was handed over, a line each.
    """

    folder: Path
    sha256: str
    n_files: int
    signature: Signature | None
    known: bool
    differences: tuple[str, ...]

    def check(self) -> None:
        """Raise AgreementError where something differs."""
        if self.differences:
            n = len(self.differences)
            places = "1 place" if n == 1 else f"{n} places, first"
            raise AgreementError(f"{self.folder}: is not as it was handed over, in {places}: {self.differences[0]}")

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "folder": str(self.folder),
            "sha256": self.sha256,
            "files": self.n_files,
            "signature": None if self.signature is None else vars(self.signature),
            "known": self.known,
            "differences": list(self.differences),
        }

    def __str__(self) -> str:
        if self.differences:
            return "\n".join(self.differences)
        lines = [f"files: all {self.n_files} are those of {CERTIFICATE}, whose SHA-256 is {self.sha256}"]
        if self.signature is not None:
            lines.append(str(self.signature))
        if self.known:
            lines.append("It is the folder that was handed over. `make check` in it compares the words, too")
        else:
            lines.append(
                "What tells whether it was handed over so is outside: --sha256 with the report's digits, or --signers"
            )
        return "\n".join(lines)


def verify(folder: Path, *, sha256: str | None = None, signers: Path | None = None) -> Verification:
    """Compare a handed-over folder with its certificate, and that with what is known of it, running nothing of it.

    Parameters
    ----------
    folder : Path
        As somebody has got it.
    sha256 : str, optional
        Of the certificate, 64 lower-case digits, from ``report.md`` or ``summary.json``.
    signers : Path, optional
        Whose keys may have signed it; see ``read_signature``.

    Raises
    ------
    OutputError
        There is no certificate, or no file of signers.
    AgreementError
        What stands in its place is none.
    """
    if not (folder / CERTIFICATE).exists():
        raise OutputError(f"{folder}: holds no {CERTIFICATE}; this is no folder that was handed over, or not all of it")
    try:
        certificate = Certificate.load(folder)
    except OutputError as error:
        raise AgreementError(str(error)) from error
    differences = certificate.differences(folder)
    if sha256 not in (None, certificate.sha256):
        differences.insert(0, f"{CERTIFICATE} is not the one asked for: its SHA-256 is {certificate.sha256}")
    signature = read_signature(folder, signers)
    if signature is not None and signature.complaint:
        differences.append(signature.complaint)
    return Verification(
        folder=folder,
        sha256=certificate.sha256,
        n_files=len(certificate.files),
        signature=signature,
        known=sha256 is not None or signers is not None,
        differences=tuple(differences),
    )
