"""What a failure boundary owes to whoever cancels its task."""

import asyncio


def go_on_being_cancelled() -> None:
    """For a failure boundary that goes on: what failed may have taken the place of this task's cancellation.

    Until Python 3.13 a task group that is cancelled, and in which something fails meanwhile, raises only the failure.

    Raises:
        asyncio.CancelledError: the task is being cancelled.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
