"""What the report says of a project's certificate: whether there is one, whether it still holds, how to check it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fpgaml.errors import OutputError
from fpgaml.handover.certificate import Certificate, certificate_digest
from fpgaml.project_files import CERTIFICATE, SIGNATURE
from fpgaml.tables import escape, table

SHOWN_DIGITS = 12
"""Of a SHA-256; all of them stand in the file."""
SHOWN_DIFFERENCES = 5


def certificate_section(run: Path, trial: str) -> str:
    """Markdown on the certificates of a network's projects; empty where there is none.

    Parameters
    ----------
    run : Path
        The run's directory.
    trial : str
        The network.

    Raises
    ------
    OutputError
        The study's own project has a file of that name that is no certificate.
    """
    return "\n\n".join(_paragraphs(run, trial))


def certificate_digests(run: Path, trial: str) -> dict[str, str]:
    """SHA-256 of the certificates of a network's projects, the study's own first, by the project's path in the run."""
    own = run / "hls_projects" / trial
    others = sorted(path for path in run.glob(f"*_projects/{trial}") if path != own)
    digests = {project.relative_to(run).as_posix(): certificate_digest(project) for project in (own, *others)}
    return {path: digest for path, digest in digests.items() if digest is not None}


def _paragraphs(run: Path, trial: str) -> Iterator[str]:
    digests = certificate_digests(run, trial)
    own = run / "hls_projects" / trial
    if (own / CERTIFICATE).exists():
        yield from _own_paragraphs(own)
    for path, digest in digests.items():
        if path != own.relative_to(run).as_posix():
            yield f"SHA-256 of `{path}/{CERTIFICATE}`: `{digest}`"


def _own_paragraphs(project: Path) -> Iterator[str]:
    certificate = Certificate.load(project)
    try:
        rows = _rows(certificate.content)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        path = project / CERTIFICATE
        raise OutputError(f"{path}: is no certificate: {error!r}. `fpgaml csim` on the run writes it again") from error
    differences = certificate.differences(project)
    if differences:
        more = f"; and {len(differences) - SHOWN_DIFFERENCES} more" if len(differences) > SHOWN_DIFFERENCES else ""
        told = f"**Certificate: no longer valid.** {'; '.join(map(escape, differences[:SHOWN_DIFFERENCES]))}{more}."
    else:
        told = f"**Certified**: when this report was written, every file was as `{CERTIFICATE}` lists it, and no other "
        told += "was there."
    yield f"{told} `make check` in the project's folder checks files and words anew."
    yield f"SHA-256 of `{CERTIFICATE}`: `{certificate.sha256}`"
    yield (
        "Whoever gets the folder compares these 64 digits with those that `make check` prints, or runs "
        f"`fpgaml verify FOLDER --sha256 DIGITS`. {_signature(project)}"
    )
    yield table(["certificate", ""], rows)


def _signature(project: Path) -> str:
    return f"It is signed: `{SIGNATURE}`." if (project / SIGNATURE).exists() else "It is not signed."


def _rows(found: Mapping[str, Any]) -> list[list[str]]:
    csim, vectors = found["csim"], found["vectors"]
    return [
        ["words compared", f"{csim['words']:,} over {csim['events']:,} events, {csim['mismatches']:,} differ"],
        ["words of `make check`", f"{vectors['words']:,} over {vectors['events']:,} events"],
        ["weights, SHA-256", _short(found["model"]["weights_sha256"])],
        ["data, SHA-256", _short(found["data"]["sha256"])],
        ["simulated files, SHA-256", _short(csim["project_sha256"])],
        ["files listed", f"{len(found['files']):,}"],
    ]


def _short(digest: str) -> str:
    return f"`{digest[:SHOWN_DIGITS]}…`"
