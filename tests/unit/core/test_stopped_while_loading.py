import subprocess
import sys

import pytest

SENDS = """
import signal, sys
from polyrec.__main__ import main

class Sends:
    def find_spec(self, name, *rest):
        if name == {module!r}:
            try:
                signal.raise_signal(signal.{by})
            except KeyboardInterrupt:
                if {hidden}:
                    raise ImportError("half loaded")
                raise

sys.meta_path.insert(0, Sends())
sys.argv = ["polyrec", "bench", "quick", "--dry-run"]
main()
"""


@pytest.mark.parametrize("by", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize(
    ("module", "hidden", "said"),
    [
        ("typer", False, "polyrec: interrupted.\n"),
        ("polyrec.bench.grid", False, "polyrec: interrupted: nothing was written.\n"),
        ("polyrec.bench.grid", True, "polyrec: interrupted: nothing was written.\n"),  # by a library, as an error
    ],
)
def test_a_command_that_is_stopped_while_it_is_loaded_says_so_in_a_line(by, module, hidden, said):
    code = SENDS.format(module=module, by=by, hidden=hidden)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", said)
