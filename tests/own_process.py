"""`polyrec ARGUMENTS` in a process of its own that is forked from one which has imported everything already."""

import multiprocessing
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


class Ran(NamedTuple):
    """A finished command."""

    code: int
    out: str
    err: str


def ran(arguments: list[str], folder: Path, timeout: float) -> Ran:
    """What a person sees who runs it in `folder`."""
    context = multiprocessing.get_context(METHOD)
    if METHOD == "forkserver":
        context.set_forkserver_preload(["polyrec.bench.warm", "polyrec.cli.main"])
    with TemporaryDirectory() as told:
        out, err = Path(told, "out"), Path(told, "err")
        process = context.Process(target=_command, args=(arguments, folder, out, err))
        process.start()
        process.join(timeout)
        late = process.exitcode is None
        process.kill()
        process.join()
        said = [path.read_text(encoding="utf-8") if path.exists() else "" for path in (out, err)]
    assert not late, f"polyrec {' '.join(arguments)} did not end in {timeout} s: {said}"
    return Ran(int(process.exitcode or 0), *said)


def _command(arguments: list[str], folder: Path, out: Path, err: Path) -> None:
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))  # noqa: SIM115
    os.chdir(folder)
    os.environ |= {"OMP_NUM_THREADS": "1", "COLUMNS": "160"}
    import torch

    torch.set_num_threads(1)
    sys.argv = ["polyrec", *arguments]
    from polyrec.cli.main import main

    main()
