"""Which failed operations an exception comes from."""

from __future__ import annotations

from django_workflows.errors import ChildWorkflowError, StepFailedError

_MOST = 10_000


def blamed(error: BaseException) -> dict[str, object]:
    """What a failed run's last entry says of where its error comes from.

    `failed` names the steps, by id, and children, by run id, whose failures are among
    its causes, contexts and parts, wherever user code caught one and raised another.
    `timeout` is there if a time-out of asyncio is.
    """
    failed: list[str] = []
    is_timeout = False
    met: set[int] = set()
    left: list[BaseException | None] = [error]
    while left and len(met) < _MOST:
        each = left.pop()
        if each is None or id(each) in met:
            continue
        met.add(id(each))
        if isinstance(each, StepFailedError) and each.step_id:
            failed.append(each.step_id)
        elif isinstance(each, ChildWorkflowError) and each.run_id:
            failed.append(each.run_id)
        elif type(each) is TimeoutError:
            is_timeout = True
        if isinstance(each, BaseExceptionGroup):
            left += each.exceptions
        # By way of the base class: a subclass may have made properties of them.
        state = vars(BaseException)
        left += [state[name].__get__(each) for name in ("__context__", "__cause__")]
    detail: dict[str, object] = {}
    if failed:
        detail["failed"] = list(dict.fromkeys(failed))
    if is_timeout:
        detail["timeout"] = True
    return detail
