"""The C++ compiler that simulations are made with."""

from __future__ import annotations

import shutil
import subprocess

from fpgaml.errors import ToolError, ToolMissingError

COMPILER = "g++"


def compiler_version(purpose: str) -> str:
    """What the compiler says of itself.

    Parameters
    ----------
    purpose : str
        What needs it, for people.

    Raises
    ------
    ToolError
        It is missing, or does not start.
    """
    if shutil.which(COMPILER) is None:
        raise ToolMissingError(
            f"{purpose} needs {COMPILER}, which is not on the PATH. Install a C++ compiler (Debian: apt install g++) "
            "and run the same command again: everything up to here is kept"
        )
    asked = subprocess.run([COMPILER, "--version"], capture_output=True, text=True, check=False)
    if asked.returncode:
        raise ToolError(f"{COMPILER} --version fails: {asked.stderr.strip()[:300]}. Mend the compiler's installation")
    return asked.stdout
