"""Asking what may never answer: a file on a dead network mount, a name on a dead resolver."""
from __future__ import annotations

import threading
import time


def within(seconds: float, ask, *arguments):
    """The value of ``ask(*arguments)``; raises TimeoutError when it is not back within ``seconds``, else what it raised.

    The thread of an unanswered call is a daemon and left behind: a system call that hangs cannot be taken back.
    """
    for value, problem in filter(None, side_by_side(seconds, [lambda: ask(*arguments)])):
        if problem is not None:
            raise problem
        return value
    raise TimeoutError(f"no answer within {seconds:g} s")


def side_by_side(seconds: float, questions) -> list:
    """Ask all ``questions`` (callables) at once; a list of ``(value, exception)`` in their order, None where unanswered."""
    answers: list = [None] * len(questions)

    def answer(place, question):
        try:
            answers[place] = (question(), None)
        except Exception as problem:  # pylint: disable=broad-except
            answers[place] = (None, problem)

    threads = [threading.Thread(target=answer, args=pair, daemon=True) for pair in enumerate(questions)]
    until = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return list(answers)
