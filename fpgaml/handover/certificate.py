"""What is certified about a project: hashes of its files, of the model and of the data, and the words compared."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from fpgaml.builder import ModelWeights
from fpgaml.errors import OutputError, printable
from fpgaml.project_files import (
    CERTIFICATE,
    DIGEST_LINE,
    LEFT_OUT,
    LONGEST,
    PLAIN_NAME,
    README,
    file_hashes,
    is_left_out,
    project_files,
)

PACKAGES = ("fpgaml", "qkeras-v3", "keras", "tensorflow", "numpy")
"""Beside those of the backend."""


@dataclass(frozen=True)
class Certificate:
    """What ``certificate.json`` holds.

    Parameters
    ----------
    text : str
        Of the file, whose SHA-256 stands in ``README.md``, ``report.md`` and ``summary.json``.
    """

    text: str

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Certificate:
        """The certificate that says this."""
        return cls(json.dumps(content, indent=2, allow_nan=False) + "\n")

    @classmethod
    def load(cls, project: Path) -> Certificate:
        """The certificate of a project.

        Raises
        ------
        OutputError
            There is none, or the file holds something else.
        """
        path = project / CERTIFICATE
        if not path.exists():
            raise OutputError(f"{path}: not found; this hand-over is not complete")
        try:
            certificate = cls(_text(path))
            wrong = next(certificate._wrong_entries(), "")
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise _no_certificate(path, error) from error
        if wrong:
            raise _no_certificate(path, wrong)
        return certificate

    def _wrong_entries(self) -> Iterator[str]:
        for name, digest in self.files.items():
            if not PLAIN_NAME.fullmatch(name) or not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
                yield f"{name!r} or its hash cannot stand there"
        for entry in self.left_out:
            if not LEFT_OUT.fullmatch(entry):
                yield f"{entry!r} cannot be left out"

    @cached_property
    def content(self) -> Mapping[str, Any]:
        """What it says."""
        content: Mapping[str, Any] = json.loads(self.text)
        return content

    @property
    def sha256(self) -> str:
        """Its own, in 64 digits."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogateescape")).hexdigest()

    @property
    def files(self) -> Mapping[str, str]:
        """SHA-256 by path."""
        files: Mapping[str, str] = self.content["files"]
        return files

    @property
    def left_out(self) -> tuple[str, ...]:
        """What tools may write into the project; see ``is_left_out``."""
        return tuple(self.content["left_out"])

    def differences(self, project: Path) -> list[str]:
        """What in a project is not as certified, a line each, in the words of its own check."""
        return [*self.changes(project), *self._unlisted_lines(project)]

    def changes(self, project: Path) -> list[str]:
        """Those of the differences that are not about files which nobody listed."""
        return [*self._certificate_lines(project), *self._file_lines(project)]

    def _certificate_lines(self, project: Path) -> list[str]:
        lines = []
        if (project / CERTIFICATE).is_symlink():
            lines.append(f"{CERTIFICATE} should be a file, and is a symbolic link")
        readme = project / README
        named = DIGEST_LINE.findall(_text(readme).encode("utf-8", "surrogateescape")) if readme.is_file() else []
        if named != [self.sha256.encode()]:
            lines.append(f"{CERTIFICATE} is not the one that {README} names: its SHA-256 is {self.sha256}")
        n_files = self.content.get("n_files")
        if n_files != len(self.files):
            told = f"it does not name all of its {n_files} files with their hashes"
            lines.append(f"{CERTIFICATE}: has been edited: {told}")
        return lines

    def _file_lines(self, project: Path) -> list[str]:
        lines = []
        for name, digest in self.files.items():
            path = project / name
            if path.is_symlink():
                lines.append(f"{name} should be a file, and is a symbolic link")
            elif path.exists() and not path.is_file():
                lines.append(f"{name} should be a file, and is something else")
            else:
                try:
                    found = file_hashes(project, [name])[name]
                except OSError:
                    lines.append(f"{name} is in the certificate, and cannot be read")
                else:
                    if found != digest:
                        lines.append(f"{name} differs from the certificate")
        return lines

    def _unlisted_lines(self, project: Path) -> list[str]:
        return [
            f"{_printable(name)} is not in the certificate"
            for name in project_files(project)
            if name not in self.files and not is_left_out(name, self.left_out)
        ]


def certificate_digest(project: Path) -> str | None:
    """SHA-256 of a project's certificate as it is; None where there is none."""
    path = project / CERTIFICATE
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def weights_hash(weights: ModelWeights) -> str:
    """SHA-256 of the quantized weights of all layers."""
    digest = hashlib.sha256()
    for layer, arrays in sorted(weights.items()):
        for name, array in sorted(arrays.items()):
            digest.update(f"{layer}.{name} {np.shape(array)}".encode())
            digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
    return digest.hexdigest()


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Of the packages that decide what is in a project, those of its backend among them."""
    return {package: version(package) for package in (*PACKAGES, *packages)}


def _no_certificate(path: Path, reason: object) -> OutputError:
    told = printable(reason, 160)
    return OutputError(f"{path}: is no certificate: {told}. `fpgaml csim` on the run writes it again")


def _text(path: Path) -> str:
    """What a file holds, up to a bound; nothing where it is none."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(LONGEST).decode("utf-8", "surrogateescape")


def _printable(name: str) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in name.encode("utf-8", "surrogateescape"))
