"""Where plain functions run for `sync_to_async`: in threads that do not keep the process alive."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import SyncToAsync, ThreadSensitiveContext

Given = ParamSpec("Given")
Result = TypeVar("Result")
Work = tuple["Future[Any]", Callable[[], Any]]


class DaemonExecutor(Executor):
    """
    Calls functions one after the other, in one thread that starts with the first of them.

    A ThreadPoolExecutor is waited for when the process ends, however long its work takes, and
    meanwhile nothing can be given to any of them. This one's work ends with the process.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._thread: Thread | None = None

    def submit(
        self, function: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Future[Result]:
        future: Future[Result] = Future()
        self._queue.put((future, partial(function, *args, **kwargs)))
        if self._thread is None:
            self._thread = Thread(
                target=_work, args=(self._queue,), name="realtime-handler", daemon=True
            )
            self._thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._queue.put(None)
        if wait and self._thread is not None:
            self._thread.join()

    def __del__(self) -> None:
        self._queue.put(None)  # the thread does not know of this object, and would wait for ever


def _work(queue: SimpleQueue[Work | None]) -> None:
    while (work := queue.get()) is not None:
        _call(*work)
        del work  # what it was about is not kept while there is nothing to do


def _call(future: Future[Any], function: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = function()
    except BaseException as error:
        future.set_exception(error)
        del future  # its error knows this frame
    else:
        future.set_result(result)


class DaemonContext(ThreadSensitiveContext):
    """
    A context whose `sync_to_async` has one thread of its own, of a DaemonExecutor.

    There is one for each client, and most never use it: the executor is made when it is needed.
    """

    def __bool__(self) -> bool:
        # `sync_to_async` asks for this right before it looks for the context's executor, and makes
        # one of the other kind where there is none.
        executors = SyncToAsync.context_to_thread_executor
        if self not in executors:
            executors[self] = DaemonExecutor()
        return True
