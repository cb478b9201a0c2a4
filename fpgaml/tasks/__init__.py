"""One problem per module of this folder: how its data is made or read, and which working points judge it.

A new task is a new file ``tasks/<name>.py`` with one subclass of ``Task``; nothing else has to know of it.
"""

from __future__ import annotations

import abc
import importlib
import pkgutil
from typing import TYPE_CHECKING, Any, ClassVar

import pydantic

from fpgaml.dataset import Dataset
from fpgaml.errors import StudyError, did_you_mean
from fpgaml.metrics import Target

if TYPE_CHECKING:
    from rich.progress import Progress


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


class TaskOptions(pydantic.BaseModel):
    """Base of the options of a task; the fields of a subclass are the keys under ``data:`` in a study.

    Unknown keys and values of the wrong type are errors. YAML knows lists only, so a list becomes a tuple before it is
    checked: declare ``tuple[...]``. Paths are relative to the study file, whose folder is ``base`` in the validation
    context.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _lists_become_tuples(cls, value: Any) -> Any:
        return {key: _tuples(item) for key, item in value.items()} if isinstance(value, dict) else value


class Task(abc.ABC):
    """One problem. A task has no state: it is a name, its options, and functions of them."""

    name: ClassVar[str]
    options: ClassVar[type[TaskOptions]]

    @staticmethod
    @abc.abstractmethod
    def input_shape(options: Any) -> tuple[int, ...]:
        """Shape of one event's inputs, known before any data exists."""

    @staticmethod
    @abc.abstractmethod
    def targets(options: Any) -> tuple[Target, ...]:
        """The working points that judge a model on this task, the headline first."""

    @staticmethod
    def n_training(options: Any) -> int | None:
        """How many training events there will be, where the options decide that; None where only the data know."""
        del options
        return None

    @staticmethod
    @abc.abstractmethod
    def load(options: Any, *, progress: Progress | None) -> Dataset:
        """Make the data set, read it, or find it in the cache.

        Parameters
        ----------
        options : an instance of this task's ``options``
        progress : rich.progress.Progress, optional
            Where long work shows how far it is; None: nowhere.

        Raises
        ------
        DataError
            The data is not there or is wrong.
        ToolError
            A package that the task needs is missing.
        """


def task_names() -> list[str]:
    """Names of all tasks, found by listing this folder."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def get_task(name: str) -> type[Task]:
    """The task of this name.

    Raises
    ------
    StudyError
        No task has this name; the message gives the nearest one.
    """
    if name not in task_names():
        raise StudyError(f"task: unknown task {name!r}; {did_you_mean(name, task_names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Task) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise TypeError(f"{module.__name__} must define exactly one Task, and defines {len(found)}")
    return found[0]
