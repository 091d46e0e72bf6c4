import errno
import os

import pytest

from polyrec.cli import bench, fit, predict, tune, update
from polyrec.cli.disk import disk, worded
from polyrec.disk import full, met
from polyrec.errors import ConfigError, NotReadyError

NO_ROOM = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/runs/.p.17.tmp")


def breaking(command, reason):
    """The command's name and options, with another inside."""

    def run(**options):
        raise reason

    run.__module__, run.__wrapped__ = command.__name__, command.run
    return worded(run)


@pytest.mark.parametrize(
    ("command", "then"),
    [
        (fit, "What was finished is kept. Free some space and run again with --resume."),
        *((one, "What was finished is kept. Free some space and give the same command again.")
          for one in (bench, tune, update)),
        (predict, "Nothing half-written is left. Free some space, or name an --out on another disk."),
    ],
)  # fmt: skip
def test_a_full_disk_is_told_with_how_the_command_goes_on(command, then):
    with pytest.raises(NotReadyError) as found:
        breaking(command, NO_ROOM)()
    assert str(found.value) == f"the disk is full: /runs/p. {then}"


@pytest.mark.parametrize("reason", [ConfigError("(os error 28)"), ValueError("3"), OSError(errno.ECONNREFUSED, "no")])
def test_other_errors_pass_as_they_are(reason):
    with pytest.raises(type(reason)) as found:
        breaking(fit, reason)()
    assert found.value is reason


@pytest.mark.parametrize(
    "text", ["No space left on device (os error 28)", "[Errno 28] No space left", "I/O error: Os { code: 28, kind: x }"]
)
def test_the_number_is_found_in_what_libraries_say(text):
    assert met(RuntimeError(text)).errno == errno.ENOSPC
    assert disk(RuntimeError(text)).startswith("the disk is full. Nothing")


@pytest.mark.parametrize("text", ["curlCode: 28, Timeout was reached", "code: 2812345678901", "28"])
def test_other_numbers_are_none_of_a_full_disk(text):
    assert full(RuntimeError(text)) is None


def test_a_full_disk_is_found_behind_what_came_of_it():
    def handled():
        try:
            raise NO_ROOM
        except OSError:
            raise KeyError("a")  # noqa: B904 (while it was handled)

    with pytest.raises(KeyError) as found:
        handled()
    assert full(found.value).filename == NO_ROOM.filename
    assert full(KeyError("a")) is None
