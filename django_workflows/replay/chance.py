"""What a run draws from its secret seed: the same in every replay."""

from __future__ import annotations

import random
import uuid
from typing import TYPE_CHECKING

from django_workflows.errors import WorkflowError
from django_workflows.replay.guard import workflow_location
from django_workflows.replay.secrets import derive, hook_token, seed_of

if TYPE_CHECKING:
    from django_workflows.replay.execution import Execution


class SeedUnknownError(WorkflowError):
    """The run draws on its secret seed, and this history of it has none.

    ``file`` and ``line`` tell where.
    """

    def __init__(self, message: str, file: str, line: int) -> None:
        super().__init__(message)
        self.file = file
        self.line = line


class Chance:
    """The random numbers and the secrets of one run."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        #: How many parts of a log that it has copied the run has left behind.
        self.passed = 0
        self._random: random.Random | None = None
        self._uuids: random.Random | None = None

    def random(self) -> random.Random:
        """The run's own generator. Blocks the run if its seed is not known."""
        self._require_seed("random()")
        if self._random is None:
            self._random = random.Random(self._seed_for("random"))
        return self._random

    def uuid4(self) -> uuid.UUID:
        """The run's next UUID. Blocks the run if its seed is not known."""
        self._require_seed("uuid4()")
        if self._uuids is None:
            self._uuids = random.Random(self._seed_for("uuid4"))
        return uuid.UUID(int=self._uuids.getrandbits(128), version=4)

    def begin_anew(self) -> None:
        """What other code was given by chance is not given to this again."""
        if self._random is not None:
            self._random.seed(self._seed_for("random"))
        if self._uuids is not None:
            self._uuids.seed(self._seed_for("uuid4"))

    def child_secret(self, call_id: str) -> bytes:
        """What the id of a child run derives from."""
        return derive(self._seed, "child", call_id)

    def hook_token(self, hook_id: str) -> str:
        """The token of a hook that was given none."""
        return hook_token(self._seed, hook_id)

    @property
    def _seed(self) -> bytes:
        return seed_of(self._execution.info.seed, self.passed)

    def _seed_for(self, name: str) -> bytes:
        epoch = self._execution.info.epoch
        return derive(self._seed, *((name, str(epoch)) if epoch else (name,)))

    def _require_seed(self, name: str) -> None:
        self._execution.require_open()
        if not self._execution.info.seed:
            error = SeedUnknownError(
                f"the code calls {name}, whose values derive from the run's secret "
                "seed, and this history has none: export it with --with-seed, or "
                "replay it where the run is in the database",
                *workflow_location(),
            )
            self._execution.taint(error)
            raise error
