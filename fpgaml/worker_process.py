"""A worker process of this machine: calls functions for the process that started it.

Functions and what they take and give are pickled, so that functions stand at the top of a module.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from fpgaml.child_process import Child, answer_parent

Result = TypeVar("Result")


class WorkerProcess(Child):
    """A worker process, seen from the one that has started it."""

    def __init__(self) -> None:
        super().__init__(__name__)

    def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """``function(*arguments)``, called in the process.

        Raises what the function raises, with a note where that was, or ``ChildDied``.
        """
        found, error, where = pickle.loads(self.ask(pickle.dumps((function, arguments))))
        if error is not None:
            error.add_note(where)
            raise error
        result: Result = found
        return result


def _answer(request: bytes) -> bytes:
    try:
        function, arguments = pickle.loads(request)
        return pickle.dumps((function(*arguments), None, ""))
    except BaseException as error:  # noqa: BLE001  whatever it is, it is for the one who asked
        where = traceback.format_exc()
        try:
            return pickle.dumps((None, error, where))
        except Exception:  # noqa: BLE001  an exception that holds what cannot be pickled
            return pickle.dumps((None, RuntimeError(f"{type(error).__name__}: {error}"), where))


if __name__ == "__main__":
    answer_parent(_answer)
