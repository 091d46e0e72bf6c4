import sys

import pytest

from polyrec.training.progress import Bar


class Terminal:
    """A stderr that says it is a terminal."""

    encoding = "utf-8"

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text
        return len(text)

    def flush(self):
        pass

    def isatty(self):
        return True


def use(bar):
    with bar:
        bar.note("validation 0.9", best=0.9)
        bar.tell(60_000.0, {"click": 0.1234})
        bar.move(20, 1)
        bar.bar.refresh()


def test_away_from_a_terminal_only_notes_are_written(capsys):
    lines = []
    use(Bar(lines.append, "only", steps=40, epochs=2))
    assert lines == ["validation 0.9"]
    found = capsys.readouterr()
    assert (found.out, found.err) == ("", "")


@pytest.mark.parametrize("moving", [False, True])
def test_without_a_log_it_is_silent(capsys, monkeypatch, moving):
    terminal = Terminal()
    if moving:
        monkeypatch.setattr(sys, "stderr", terminal)
    use(Bar(None, "only", steps=40, epochs=2))
    assert terminal.text == ""
    assert capsys.readouterr().out == ""


def test_on_a_terminal_the_bar_shows_where_training_is(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    lines = []
    use(Bar(lines.append, "only", steps=40, epochs=2))
    for words in ("only · epoch 2/2", "50 %", "60,000 rows/s", "click 0.1234", "best 0.9000", "validation 0.9"):
        assert words in terminal.text
    assert lines == []
