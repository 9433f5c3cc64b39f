from __future__ import annotations

import errno
import subprocess
import sys

import pytest

from punie_trace.descriptors import needed, ran_out

OUT = OSError(errno.EMFILE, "Too many open files")


def caused(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (OUT, True),
        (OSError(errno.ENFILE, "system"), True),
        (OSError(errno.ECONNREFUSED, "refused"), False),
        (caused(RuntimeError("all attempts failed"), OUT), True),
        (caused(RuntimeError("x"), ExceptionGroup("several", [ValueError(), caused(KeyError(), OUT)])), True),
        (None, False),
    ],
)
def test_whether_descriptors_ran_out(error: BaseException | None, answer: bool) -> None:
    assert ran_out(error) is answer


def test_an_error_that_caused_itself_ends_the_search() -> None:
    one, two = ValueError(), ValueError()
    one.__cause__, two.__cause__ = two, one
    assert not ran_out(one)
    inner = ValueError()
    group = ExceptionGroup("several", [inner])
    inner.__context__ = group  # as task groups leave it
    assert not ran_out(inner)
    assert not ran_out(group)


def test_more_queries_need_more() -> None:
    assert needed(200, 3) > needed(200, 1) > needed(1, 1) > 64


@pytest.mark.parametrize(("soft", "hard", "after"), [(64, 512, 512), (64, 64, 64)])
def test_the_soft_limit_is_raised_to_the_hard_one(soft: int, hard: int, after: int) -> None:
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "from punie_trace.descriptors import raise_limit\n"
        "print(raise_limit(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == [str(after), str(after)]
