"""A bound on what data may take: the memory that is free."""

from __future__ import annotations

from fpgaml.errors import DataError


def free_memory() -> int:
    """Bytes that this process may still take: what the machine has free, or its limit (``ulimit -v``) leaves."""
    import resource

    import psutil

    free = int(psutil.virtual_memory().available)
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        free = min(free, limit - psutil.Process().memory_info().vms)
    return max(free, 0)


def check_fits(what: str, n_bytes: int) -> None:
    """Refuse what would not fit into memory, before it is allocated.

    Parameters
    ----------
    what : str
        Where it is and what it is called.
    n_bytes : int
        What it claims, of any size.

    Raises
    ------
    DataError
        With how much it needs and how much is free.
    """
    free = free_memory()
    if n_bytes > free:
        needed = f"{n_bytes / 1e9:,.3g}" if n_bytes < 10**18 else "over 1,000,000,000"
        raise DataError(f"{what} needs {needed} GB of memory, {free / 1e9:,.3g} GB are free")
