"""What serving costs: latency against the bare program, capacity, overload, reloads, malformed requests, predict.

    .venv/bin/python benchmarks/serving.py latency BUNDLE LOG
    .venv/bin/python benchmarks/serving.py capacity BUNDLE LOG
    .venv/bin/python benchmarks/serving.py overload BUNDLE LOG --seconds 600
    .venv/bin/python benchmarks/serving.py reloads BUNDLE LOG --other BUNDLE
    .venv/bin/python benchmarks/serving.py malformed BUNDLE LOG
    .venv/bin/python benchmarks/serving.py predict BUNDLE LOG
    .venv/bin/python benchmarks/serving.py equal BUNDLE LOG
    .venv/bin/python benchmarks/serving.py scenarios BUNDLE...

BUNDLE is one that `polyrec export` wrote. The client runs on the same machine as the server, which takes some of
its time: compare figures only within a run.
"""

import argparse
import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from polyrec.artifact import Bundle, Program
from polyrec.artifact.program import feed
from polyrec.data.files import Source
from polyrec.serving import Scorer


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Client:
    """One kept-alive connection."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def post(self, path: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        self.connection.request("POST", path, body, headers or {})
        found = self.connection.getresponse()
        return found.status, found.read()

    def get(self, path: str) -> bytes:
        self.connection.request("GET", path)
        return self.connection.getresponse().read()


@contextmanager
def serving(bundle: Path, *options: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "polyrec", "serve", str(bundle), "--port", "0", "--quiet", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "POLYREC_TOKEN": "benchmark"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        yield int(line.rpartition(":")[2]), process
    finally:
        process.terminate()
        process.wait(30)


def raw_rows(bundle: Bundle | Program | Scorer, log: Path, count: int, scenario: bool = False) -> list[dict[str, Any]]:
    """Rows of the log as a client would send them; all of one scenario if asked for."""
    names = list(bundle.encoder.columns(labels=False))
    table = next(iter(Source((log,)).tables(names)))
    key = bundle.schema.keys.scenario
    rows = [json.loads(json.dumps(row, default=str)) for row in table.slice(0, 20 * count).to_pylist()]
    if scenario:
        rows = [row for row in rows if row[key] == rows[0][key]]
    return rows[:count]


def quantiles(seconds: list[float]) -> str:
    p10, p50, p99 = np.quantile(seconds, [0.1, 0.5, 0.99]) * 1000
    return f"p10 {p10:6.2f}, p50 {p50:6.2f}, p99 {p99:6.2f} ms"


def times_of(one: list[float], other: list[float]) -> str:
    """How many times as long, of the least disturbed tenth and of the median."""
    (low, middle), (below, between) = np.quantile(one, [0.1, 0.5]), np.quantile(other, [0.1, 0.5])
    return f"x{low / below:.1f} (p10), x{middle / between:.1f} (p50)"


def latency(options: argparse.Namespace) -> None:
    program = Program.load(options.bundle)
    with serving(options.bundle, *(["--items", str(options.log)] if options.items else [])) as (port, _):
        client = Client(port)
        for count in (1, 500):
            rows = raw_rows(program, options.log, count, scenario=True)
            body = json.dumps({"rows": rows}).encode()
            tensors = feed(program.encoder.encode_rows(rows))
            bare, http_, inside = [], [], []
            for turn in range(options.repeats + 20):
                for place, one in enumerate((bare, http_, inside)):
                    started = time.perf_counter()
                    if place == 0:
                        program.session.run(None, tensors)
                    elif place == 1:
                        assert client.post("/score", body)[0] == 200
                    else:
                        program.probabilities(program.encoder.encode_rows(rows))
                    if turn >= 20:
                        one.append(time.perf_counter() - started)
            say(f"{len(rows)} rows, {len(body):,} bytes of JSON")
            say(f"  onnxruntime on encoded tensors  {quantiles(bare)}")
            say(f"  encode and score in process     {quantiles(inside)}  {times_of(inside, bare)}")
            say(f"  POST /score                     {quantiles(http_)}  {times_of(http_, bare)}")
        if options.items:
            catalogue(client, program, rows[0], options.repeats)


def catalogue(client: Client, program: Program, row: dict[str, Any], repeats: int) -> None:
    key = program.schema.keys.scenario
    body = json.dumps({"user": row, "scenario": row[key], "k": 20}).encode()
    status, answer = client.post("/recommend", body)
    assert status == 200, answer
    count = json.loads(answer)["candidates"]
    tensors = feed(program.encoder.encode_rows([row]).repeat(count))
    bare, http_ = [], []
    for _ in range(repeats):
        started = time.perf_counter()
        program.session.run(None, tensors)
        bare.append(time.perf_counter() - started)
        started = time.perf_counter()
        client.post("/recommend", body)
        http_.append(time.perf_counter() - started)
    say(f"{count} items of the catalogue for one user, {len(body):,} bytes of JSON")
    say(f"  onnxruntime on encoded tensors  {quantiles(bare)}")
    say(f"  POST /recommend                 {quantiles(http_)}  {times_of(http_, bare)}")


def drive(
    port: int, bodies: list[bytes], rate: float, seconds: float, clients: int
) -> tuple[Counter[Any], list[float]]:
    """Requests at a rate from kept-alive connections; latency counts from when a request was due."""
    statuses: Counter[Any] = Counter()
    times: list[float] = []
    lock, started = threading.Lock(), time.perf_counter()
    turns = iter(range(int(rate * seconds)))

    def work() -> None:
        client = Client(port)
        while True:
            with lock:
                turn = next(turns, None)
            if turn is None:
                return
            due = started + turn / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            try:
                status, _ = client.post("/score", bodies[turn % len(bodies)])
            except (OSError, http.client.HTTPException) as reason:
                status, client = type(reason).__name__, Client(port)
            with lock:
                statuses[status] += 1
                if status == 200:
                    times.append(time.perf_counter() - due)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return statuses, times


def capacity(options: argparse.Namespace) -> float:
    """The highest rate of a ladder that keeps p99 within 50 ms and every answer 200."""
    program = Program.load(options.bundle)
    rows = raw_rows(program, options.log, 64)
    bodies = [json.dumps({"rows": [row]}).encode() for row in rows]
    best = 0.0
    with serving(options.bundle) as (port, _):
        drive(port, bodies, 50, 2, 4)
        for rate in (100, 200, 300, 400, 600, 800, 1000, 1300, 1600, 2000):
            statuses, times = drive(port, bodies, rate, options.seconds or 5, 16)
            say(f"{rate} requests/s of one row: {dict(statuses)}, {quantiles(times)}")
            if set(statuses) != {200} or np.quantile(times, 0.99) > 0.05:
                break
            best = rate
    say(f"sustained at p99 <= 50 ms: {best:.0f} requests/s")
    return best


def overload(options: argparse.Namespace) -> None:
    """Twice the rows that the server can score, for a while: only 200 and 503, memory flat."""
    program = Program.load(options.bundle)
    rows = raw_rows(program, options.log, 500)
    body = json.dumps({"rows": rows}).encode()
    with serving(options.bundle, "--timeout", "0.5") as (port, process):
        client = Client(port)
        started = time.perf_counter()
        for _ in range(40):
            client.post("/score", body)
        rate = 2 * 40 / (time.perf_counter() - started)
        seconds = options.seconds or 120.0
        say(f"{rate:.0f} requests/s of {len(rows)} rows, twice what one client gets, for {seconds:.0f} s")
        memory: list[float] = []
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(seconds / 12):
                memory.append(resident(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        statuses, times = drive(port, [body], rate, seconds, 64)
        stop.set()
        watcher.join()
        say(f"{dict(statuses)}; answers 200: {quantiles(times)} since they were due")
        say("memory, MB: " + " ".join(f"{one:.0f}" for one in memory))
        say(f"alive afterwards: {Client(port).post('/score', body)[0] == 200}")


def resident(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 2**20


def reloads(options: argparse.Namespace) -> None:
    """100 reloads between two bundles while clients ask: failures."""
    with tempfile.TemporaryDirectory() as root:
        for name, bundle in (("a", options.bundle), ("b", options.other or options.bundle)):
            subprocess.run(["cp", "-r", str(bundle), f"{root}/{name}"], check=True)
        program = Program.load(options.bundle)
        body = json.dumps({"rows": raw_rows(program, options.log, 20)}).encode()
        with serving(Path(root) / "a", "--root", root, "--timeout", "10") as (port, process):
            stop, statuses = threading.Event(), Counter[Any]()

            def work() -> None:
                client = Client(port)
                while not stop.is_set():
                    statuses[client.post("/score", body)[0]] += 1

            threads = [threading.Thread(target=work) for _ in range(4)]
            for one in threads:
                one.start()
            admin, done, memory = Client(port), Counter[Any](), []
            for turn in range(100):
                body_ = json.dumps({"bundle": "ba"[turn % 2]}).encode()
                done[admin.post("/reload", body_, {"Authorization": "Bearer benchmark"})[0]] += 1
                memory.append(resident(process.pid))
            stop.set()
            for one in threads:
                one.join()
        say(f"reloads: {dict(done)}; requests meanwhile: {dict(statuses)}")
        say(f"memory, MB: after 10 reloads {memory[9]:.0f}, after 50 {memory[49]:.0f}, after 100 {memory[99]:.0f}")


def malformed(options: argparse.Namespace) -> None:
    """5,000 damaged requests: none may be answered 5xx but 503."""
    program = Program.load(options.bundle)
    rows, chance = raw_rows(program, options.log, 5), random.Random(0)
    odd: list[Any] = [None, True, -1, 1e308, 10**40, "", "x" * 10_000, "\x00", [], [[]], {}, {"a": 1}, [None], "nan"]
    statuses: Counter[Any] = Counter()
    with serving(options.bundle) as (port, _):
        client = Client(port)
        for turn in range(5_000):
            path = chance.choice(["/score", "/recommend", "/reload", "/nothing", "/" + "%00" * chance.randrange(4)])
            body = damaged(rows, odd, chance)
            try:
                status, answer = client.post(path, body, {"Authorization": "Bearer benchmark"} if turn % 2 else {})
            except (OSError, http.client.HTTPException) as reason:
                status, answer, client = type(reason).__name__, b"", Client(port)
            statuses[status] += 1
            if status in (500, 502):
                say(f"{path} {body[:300]!r} {answer!r}")
        status = client.post("/score", json.dumps({"rows": rows}).encode())[0]
    say(f"answers: {dict(sorted(statuses.items(), key=str))}; a good request afterwards: {status}")


def damaged(rows: list[dict[str, Any]], odd: list[Any], chance: random.Random) -> bytes:
    made = [dict(row) for row in rows]
    for _ in range(chance.randrange(4)):
        row = chance.choice(made)
        row[chance.choice([*row, "no such field"])] = chance.choice(odd)
    whole: Any = chance.choice(
        [
            {"rows": made},
            {"user": made[0], "scenario": chance.choice([*odd, "x"]), "items": made, "k": chance.choice([1, *odd])},
            {"user": made[0], "scenario": "x", "objective": {"buy": chance.choice(odd)}, "items": chance.choice(odd)},
            {"bundle": chance.choice(["../..", "/etc", "x\x00y", "a" * 5_000, *odd])},
            {"rows": chance.choice(odd)},
            chance.choice(odd),
        ]
    )
    text = bytearray(json.dumps(whole).encode())
    if chance.random() < 0.4 and text:
        for _ in range(chance.randrange(1, 6)):
            text[chance.randrange(len(text))] = chance.randrange(256)
    if chance.random() < 0.1:
        text = text[: chance.randrange(len(text) + 1)]
    return bytes(text)


def predict(options: argparse.Namespace) -> None:
    """`predict` from parquet to parquet, against encoding and the program measured apart."""
    for scorer in (Scorer(Program.load(options.bundle)), Scorer(Bundle.load(options.bundle))):
        source = Source((options.log,))
        columns = scorer.encoder.columns(labels=False)
        started = time.perf_counter()
        batches = [scorer.encoder.encode(table, labels=False) for table in source.tables(columns)]
        encoding = time.perf_counter() - started
        started = time.perf_counter()
        for batch in batches:
            scorer.probabilities(batch)
        scoring = time.perf_counter() - started
        del batches
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            rows = scorer.predict(source, Path(folder) / "p.parquet")
            whole = time.perf_counter() - started
        say(
            f"{type(scorer.bundle).__name__}: {rows:,} rows at {rows / whole:,.0f} rows/s; encode {encoding:.2f} s + "
            f"score {scoring:.2f} s apart, predict {whole:.2f} s: x{whole / (encoding + scoring):.2f}"
        )


def equal(options: argparse.Namespace) -> None:
    """Scores by HTTP, by predict, in process, by program and by model: the largest difference."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "p.parquet"
        scorer, model = Scorer.load(options.bundle), Scorer(Bundle.load(options.bundle))
        scorer.predict(Source((options.log,)), out)
        table = pq.read_table(out)
        worst = dict.fromkeys(("HTTP", "in process", "model in process"), 0.0)
        with serving(options.bundle, "--timeout", "10") as (port, _):
            client = Client(port)
            names = list(scorer.encoder.columns(labels=False))
            start = 0
            for rows in Source((options.log,)).tables(names):
                for first in range(0, rows.num_rows, 1_000):
                    if (start + first) // 1_000 % options.every:
                        continue
                    part = rows.slice(first, 1_000).to_pylist()
                    body = json.dumps({"rows": part}, default=str).encode()
                    status, answer = client.post("/score", body)
                    assert status == 200, answer
                    found = {
                        "HTTP": json.loads(answer)["scores"],
                        "in process": scorer.score(part),
                        "model in process": model.score(part),
                    }
                    for how, scores in found.items():
                        for target in scorer.schema.targets:
                            kept = table[target.column].slice(start + first, len(part)).to_numpy()
                            gap = np.abs(np.array([one[target.name] for one in scores]) - kept).max()
                            worst[how] = max(worst[how], float(gap))
                start += rows.num_rows
        say(f"largest difference from predict over {start:,} rows, one block of 1,000 in {options.every}:")
        say(", ".join(f"{how} {one:.1e}" for how, one in worst.items()))


def scenarios(options: argparse.Namespace) -> None:
    """500 rows of one scenario, and of all: the program as it is run, in one run, and the model."""
    torch.set_num_threads(1)
    for path in options.bundles:
        program, model = Program.load(path), Bundle.load(path)
        count = len(program.schema.scenarios)
        golden = program.encoder.encode(pq.read_table(path / "golden.parquet"), labels=False)
        batch = golden.repeat(8).select(torch.arange(500))
        for name, scenario in (("one scenario", torch.zeros(500)), ("all scenarios", torch.arange(500) % count)):
            rows = type(batch)(**{**fields(batch), "scenario": scenario.long()})
            tensors = feed(rows)
            ways = {
                "program": partial(program.probabilities, rows),
                "in one run": partial(program.session.run, None, tensors),
                "model": partial(model.probabilities, rows),
            }
            times = {way: median(one) for way, one in ways.items()}
            runs = len(list(program._runs(rows.scenario.numpy())))
            told = ", ".join(f"{way} {1000 * one:.1f} ms" for way, one in times.items())
            say(f"{program.manifest.recipe}, {count} scenarios, 500 rows of {name}: {told} ({runs} runs)")


def fields(batch: Any) -> dict[str, Any]:
    return {name: getattr(batch, name) for name in batch.__dataclass_fields__}


def median(call: Any, repeats: int = 15) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for what in (latency, capacity, overload, reloads, malformed, predict, equal):
        one = commands.add_parser(what.__name__)
        one.add_argument("bundle", type=Path)
        one.add_argument("log", type=Path)
        one.add_argument("--seconds", type=float, default=0.0)
        one.add_argument("--repeats", type=int, default=200)
        one.add_argument("--other", type=Path)
        one.add_argument("--items", action="store_true")
        one.add_argument("--every", type=int, default=1)
        one.set_defaults(run=what)
    one = commands.add_parser("scenarios")
    one.add_argument("bundles", type=Path, nargs="+")
    one.set_defaults(run=scenarios)
    options = parser.parse_args()
    options.run(options)


main()
