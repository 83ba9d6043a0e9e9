"""Workers of the delivery in processes of their own, to be killed: at random, or at an exact point."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from functools import wraps
from multiprocessing.process import BaseProcess
from typing import Any

from perennial.delivery.journal import Journal
from perennial.delivery.smtp import SmtpProvider
from perennial.flows.delivery import deliver
from perennial.foundation.errors import Retryable
from perennial.foundation.settings import Settings, load_settings
from perennial.ledger import Ledger

# What a worker does, in this order; it dies when it has just done so.
POINTS: dict[str, tuple[type, str]] = {
    "claim": (Ledger, "claim"),
    "mark": (Journal, "mark"),  # that the body is about to leave
    "dot": (SmtpProvider, "_hand_over"),
    "answer": (SmtpProvider, "_answer"),
    "record": (Journal, "record"),  # of the answer
    "settle": (Ledger, "settle"),
}
_FORKS = multiprocessing.get_context("forkserver")  # a worker starts in milliseconds, from a process that knows it all
_FORKS.set_forkserver_preload(["perennial.delivery.smtp", "perennial.flows.delivery", "psycopg"])


def start(settings: Settings, dies_after: str | None = None, number: int = 1) -> BaseProcess:
    """A worker that delivers; it kills itself when it has come to the point for the `number`-th time."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    worker = _FORKS.Process(target=_work, args=(given, dies_after, number))
    worker.start()
    return worker


def _work(given: dict[str, Any], dies_after: str | None, number: int) -> None:
    if dies_after:
        owner, name = POINTS[dies_after]
        setattr(owner, name, _deadly(getattr(owner, name), number))
    try:
        deliver(load_settings(**given))
    except Retryable as error:  # the next one tries again
        os.write(2, f"{error}\n".encode())


def _deadly(method: Callable[..., Any], number: int) -> Callable[..., Any]:
    calls = iter(range(1, number + 1))

    @wraps(method)
    def last(*args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return last
