"""The watchdog: notices a cluster that is alive and does nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

PATIENCE = 60.0
"""Seconds for which due work may be left lying while all workers are idle."""

LONGEST_PAUSE = 5.0
"""Seconds between two looks after which we ourselves must have been suspended."""


@dataclass
class Watchdog:
    """Decides from what the sentinel sees whether the cluster is stuck.

    All times are ``time.monotonic()`` seconds.
    """

    patience: float = PATIENCE
    _looked_at: float = 0.0
    _since: dict[str, float] = field(default_factory=dict)

    def look(
        self,
        now: float,
        *,
        idle: bool,
        waiting: bool,
        pusher_beat: float,
        due_since: float,
    ) -> str | None:
        """Return why the cluster is stuck, or None if all is well.

        Args:
            now: The time of this look.
            idle: No worker executes anything.
            waiting: A message lies in the workers' queue.
            pusher_beat: When the pusher last asked for messages.
            due_since: Since when workflow work is due and not begun; 0: none is.
        """
        suspended = now - self._looked_at > LONGEST_PAUSE
        self._looked_at = now
        if not idle or suspended:
            self._since.clear()
            self._since["idle"] = now
            return None
        idle_since = self._since["idle"]
        if waiting:
            self._since.setdefault("waiting", now)
        else:
            self._since.pop("waiting", None)
        signs = {
            "a message waits in the queue": self._since.get("waiting"),
            "workflow work is due": max(due_since, idle_since) if due_since else None,
            "the pusher does not ask for work": max(pusher_beat, idle_since),
        }
        for sign, since in signs.items():
            if since is not None and now - since > self.patience:
                return f"{sign} for {now - since:.0f} s while all workers are idle"
        return None
