import threading
import time

import pytest

from polyrec.data.ahead import ahead


def alive():
    return [thread for thread in threading.enumerate() if thread.name == "polyrec-ahead"]


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_items_come_whole_and_in_order(depth):
    assert list(ahead(iter(range(100)), depth)) == list(range(100))
    assert not alive()


@pytest.mark.parametrize("depth", [0, 2])
def test_an_error_comes_after_the_items_before_it(depth):
    def failing():
        yield 1
        yield 2
        raise KeyError("lost")

    seen = []
    stream = ahead(failing(), depth)
    with pytest.raises(KeyError, match="lost"):
        seen.extend(iter(stream.__next__, None))
    assert seen == [1, 2]
    assert not alive()


def test_closing_early_ends_the_thread_and_the_source():
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    stream = ahead(endless(), 2)
    assert next(stream) == 0
    assert alive()
    stream.close()
    assert not alive()
    assert closed.wait(1)


def test_no_more_than_depth_items_are_made_ahead():
    made = []

    def counting():
        for one in range(100):
            made.append(one)
            yield one

    stream = ahead(counting(), 2)
    next(stream)
    time.sleep(0.3)
    assert len(made) <= 4  # one given, two waiting, one in hand
    stream.close()


def test_nothing_starts_before_the_first_item_is_asked_for():
    ahead(iter([1]), 2)
    assert not alive()
