"""The service over a socket: scores, refusals in words, overload, reload, stopping."""

import json
import logging
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pyarrow as pa
import pytest

from polyrec.artifact import Bundle
from polyrec.data.files import Source
from polyrec.errors import NotReadyError
from polyrec.retrieval.index import ItemIndex
from polyrec.retrieval.recommend import Recommender
from polyrec.serving import Scorer
from polyrec.serving import model as models
from polyrec.serving.limits import Limits
from polyrec.serving.model import Sources

ROW = {"tab": "s1", "user": 3, "item": "i2", "brand": "b1", "price": 3.5, "age": 30, "history": ["i1", "i9"]}
USER = {"user": 3, "age": 30, "history": ["i1", "i9"]}
TOKEN = {"Authorization": "Bearer secret"}


def test_scores_are_those_of_the_scorer_in_the_order_of_the_rows(bundle, serve):
    rows = [{**ROW, "user": user, "tab": f"s{user % 3}"} for user in range(40)] + [
        {"tab": "s0"},
        {**ROW, "price": None},
    ]
    answer = serve(bundle).ask("/score", {"rows": rows})
    scorer = Scorer.load(bundle)
    assert answer.status == 200
    assert answer.json["model"] == scorer.manifest.identity
    for found, expected in zip(answer.json["scores"], scorer.score(rows), strict=True):
        assert found == pytest.approx(expected, abs=1e-5)
    assert set(found) == {"click", "cart", "cart_given_click", "buy", "buy_given_click"}


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/score", b"", 400, "not JSON"),
        ("/score", b"{", 400, "not JSON"),
        ("/score", b"\xff\xfe", 400, "not JSON"),
        ("/score", b'{"rows": [{"tab": "\\ud800"}]}', 400, "not JSON"),
        ("/score", b"[" * 100_000, 422, "the body: Expected `object`"),
        ("/score", b'{"rows": [{"other": ' + b"[" * 100_000, 400, "recursion"),
        ("/score", b"null", 422, "the body: Expected `object`, got `null`"),
        ("/score", {}, 422, "missing required field `rows`"),
        ("/score", {"rows": {}}, 422, "rows: Expected `array`"),
        ("/score", {"rows": [], "extra": 1}, 422, "unknown field `extra`"),
        ("/score", {"rows": [ROW, {**ROW, "price": "dear"}]}, 422, "rows[1].price: Expected"),
        ("/score", {"rows": [{**ROW, "image": [1, 2]}]}, 422, "'image' has a vector of 2 numbers"),
        ("/score", {"rows": [{**ROW, "user": {}}]}, 422, "rows[0].user: Expected"),
        ("/score", {"rows": [{**ROW, "user": "three"}]}, 422, "'user' holds text"),
        ("/score", {"rows": [{**ROW, "user": 1.5}]}, 422, "'user' has type double"),
        ("/score", {"rows": [{**ROW, "user": 10**30}]}, 422, "field 'user' has values that do not go together"),
        ("/score", b'{"rows": [{"tab": "s0", "price": 1e999}]}', 422, "rows[0].price: Number out of range"),
        ("/score", {"rows": [{**ROW, "user": 3}, {**ROW, "user": "3"}]}, 422, "'user'"),
        ("/recommend", {"user": USER, "scenario": "s" * 1025}, 422, "scenario: Expected `str` of length <= 1024"),
        ("/recommend", {"user": USER, "scenario": "s0", "k": 0}, 422, "k: Expected `int` >= 1"),
        ("/recommend", {"user": USER, "scenario": "s0", "k": 10**6}, 422, "k: Expected `int` <= 1000"),
        ("/recommend", {"user": USER, "scenario": "s0"}, 409, "items = [...]"),
        ("/recommend", {"user": USER, "scenario": "s0", "items": [], "objective": {"bye": 1}}, 422, "'bye'"),
        ("/recommend", {"scenario": "s0"}, 422, "missing required field `user`"),
        ("/reload", {"bundle": "mmoe"}, 403, "without a token"),
        ("/nothing", None, 404, "no such path"),
        ("/score/../../etc/passwd", None, 404, "no such path"),
        ("/%2e%2e/%2e%2e/etc/passwd", None, 404, "no such path"),
        ("/score", None, 405, "another method"),
        ("/report", None, 404, "no report"),
    ],
)
def test_bad_requests_are_refused_in_words(path, body, status, words, shared_server):
    answer = shared_server.ask(path, body)
    assert answer.status == status
    assert words in answer.json["error"]
    assert answer.headers["content-type"] == "application/json"


def test_an_unknown_scenario_is_refused_or_scored_as_the_schema_says(make, bundle, serve):
    row = {**ROW, "tab": "s9"}
    server = serve(make("pooled", unknown="refuse"))
    refused = server.ask("/score", {"rows": [row]})
    assert refused.status == 422
    assert "scenario 's9' is not among those of the training rows. Known: s0, s1, s2." in refused.json["error"]
    nameless = server.ask("/score", {"rows": [{"user": 3}]})
    assert (nameless.status, "'tab' is null in row 0" in nameless.json["error"]) == (422, True)
    shared = serve(bundle).ask("/score", {"rows": [row]})
    assert shared.json["scores"][0] == pytest.approx(Scorer.load(bundle).score([row])[0], abs=1e-5)


def test_no_rows_get_no_scores(shared_server):
    assert shared_server.ask("/score", {"rows": []}).json["scores"] == []


def test_too_many_rows_and_too_large_bodies_are_refused_with_their_bound(bundle, serve):
    server = serve(bundle, limits=Limits(rows=10, body=5_000))
    many = server.ask("/score", {"rows": [{"tab": "s0"}] * 11})
    assert many.status == 422
    assert "at most 10" in many.json["error"]
    large = server.ask("/score", b" " * 5_001)
    assert large.status == 413
    assert "5,000 bytes" in large.json["error"]
    chunked = server.ask("/score", iter([b" " * 3_000] * 3), "POST")
    assert chunked.status == 413
    assert server.ask("/score", {"rows": [ROW]}).status == 200


def test_a_body_that_comes_too_slowly_is_refused(bundle, serve):
    server = serve(bundle, limits=Limits(seconds=0.3))
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as slow:
        slow.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
        assert b"408" in slow.recv(4096).split(b"\r\n")[0]


def test_items_are_ranked_by_the_weighted_sum_of_their_probabilities(bundle, shared_server):
    items = [{"item": f"i{one}", "price": float(one)} for one in range(20)]
    rows = [{**USER, **item, "tab": "s1"} for item in items]
    expected = Scorer.load(bundle).score(rows)
    weights = {"buy": 2.0, "click": -0.5}
    totals = [sum(one[name] * weight for name, weight in weights.items()) for one in expected]
    order = sorted(range(20), key=lambda place: -totals[place])
    request = {"user": USER, "scenario": "s1", "items": items, "objective": weights, "k": 5}
    answer = shared_server.ask("/recommend", request).json
    assert [one["item"] for one in answer["items"]] == [f"i{place}" for place in order[:5]]
    assert [one["score"] for one in answer["items"]] == pytest.approx([totals[one] for one in order[:5]], abs=1e-5)
    for one, place in zip(answer["items"], order, strict=False):
        assert one["probabilities"] == pytest.approx(expected[place], abs=1e-5)
    assert (answer["candidates"], answer["retrieval"]) == (20, "given")


def test_the_catalogue_is_ranked_as_its_items_would_be(bundle, serve):
    """A log as catalogue: each item's last row counts, the most frequent item first."""
    log = bundle.parent / "log-3.parquet"
    server = serve(bundle, sources=Sources(items=(log,)))
    answer = server.ask("/recommend", {"user": USER, "scenario": "s2", "k": 1000}).json
    last = pl.read_parquet(log).filter(pl.col("item").is_not_null()).group_by("item").last()
    items = last.select("item", "brand", "price", "image").to_dicts()
    given = server.ask("/recommend", {"user": USER, "scenario": "s2", "k": 1000, "items": items}).json
    assert answer["retrieval"] == "all"
    assert answer["candidates"] == given["candidates"] == len(items)
    found, expected = ({one["item"]: one["probabilities"] for one in each["items"]} for each in (answer, given))
    assert set(found) == set(expected)
    for item, probabilities in expected.items():
        assert found[item] == pytest.approx(probabilities, abs=1e-5)


def test_an_index_finds_what_is_ranked(make, serve):
    """Retrieved by two towers, ranked by the bundle that serves: what the library's own call gives."""
    ranker, towers = make("mmoe"), make("twotower-mixed")
    log = ranker.parent / "log-3.parquet"
    with pytest.raises(NotReadyError, match="index"):
        serve(ranker, sources=Sources(index=towers))
    found = pl.read_parquet(log).filter(pl.col("item").is_not_null()).unique("item", keep="last", maintain_order=True)
    found.drop("tab").write_parquet(ranker.parent / "items.parquet")
    bundle = Bundle.load(towers)
    ItemIndex.build(bundle, Source((ranker.parent / "items.parquet",))).save(towers)
    server = serve(ranker, sources=Sources(index=towers))
    answer = server.ask("/recommend", {"user": USER, "scenario": "s1", "k": 5, "objective": {"buy": 1}}).json
    recommender = Recommender.load(towers)
    hits = recommender.recommend(
        pa.table({name: [one] for name, one in USER.items()}), "s1", 5, ranker=Bundle.load(ranker), by={"buy": 1.0}
    )
    assert [one["item"] for one in answer["items"]] == recommender.keys(hits)[0]
    assert [one["score"] for one in answer["items"]] == pytest.approx(hits.scores[0].tolist(), abs=1e-5)
    assert (answer["retrieval"], answer["candidates"]) == ("exact", len(found))
    unknown = server.ask("/recommend", {"user": USER, "scenario": "s9"})
    assert (unknown.status, "s9" in unknown.json["error"]) == (422, True)


def test_health_ready_schema_metrics_and_openapi_answer(shared_server):
    assert shared_server.ask("/health").json == {"status": "alive"}
    assert shared_server.ask("/ready").json["status"] == "ready"
    schema = shared_server.ask("/schema").json
    assert [one["name"] for one in schema["targets"]][-1] == "buy_given_click"
    shared_server.ask("/score", {"rows": [ROW] * 7})
    lines = shared_server.ask("/metrics").body.decode().splitlines()
    counts = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(counts['polyrec_requests_total{path="/score",status="200"}']) >= 1
    assert float(counts["process_resident_memory_bytes"]) > 1e7
    described = shared_server.ask("/openapi.json").json
    row = described["components"]["schemas"]["Row"]["properties"]
    assert set(row) >= {"tab", "user", "history", "image"}
    assert described["paths"]["/reload"]["post"]["security"] == [{"token": []}]


class Slow:
    """Work that takes its time, and counts how much was done together."""

    def __init__(self, monkeypatch, seconds):
        self.sizes, whole = [], models.answer

        def answer(works):
            time.sleep(seconds)
            self.sizes.append(len(works))
            return whole(works)

        monkeypatch.setattr(models, "answer", answer)


def test_over_capacity_everything_is_answered_200_or_503_and_waiting_requests_go_together(bundle, serve, monkeypatch):
    slow = Slow(monkeypatch, 0.1)
    server = serve(bundle, limits=Limits(queue=8, seconds=20))
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: server.ask("/score", {"rows": [ROW]}), range(40)))
    statuses = [one.status for one in answers]
    assert set(statuses) == {200, 503}
    refused = [one for one in answers if one.status == 503]
    assert all(one.headers["retry-after"] == "1" for one in refused)
    assert "over capacity" in refused[0].json["error"]
    assert max(slow.sizes) > 1
    assert server.ask("/score", {"rows": [ROW]}).status == 200


def test_a_request_whose_time_is_up_before_its_turn_is_refused(bundle, serve, monkeypatch):
    Slow(monkeypatch, 0.5)
    server = serve(bundle, limits=Limits(seconds=0.3))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(server.ask, "/score", {"rows": [ROW]})
        time.sleep(0.1)
        second = pool.submit(server.ask, "/score", {"rows": [ROW]}).result()
    assert first.result().status == 200
    assert second.status == 503
    assert "not begun within 0.3 seconds" in second.json["error"]


def test_a_mistake_among_requests_that_go_together_is_its_own(bundle, serve, monkeypatch):
    slow = Slow(monkeypatch, 0.1)
    server = serve(bundle)
    bodies = [{"rows": [{**ROW, "user": "three" if one == 4 else one}]} for one in range(12)]
    with ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(lambda body: server.ask("/score", body).status, bodies))
    assert statuses == [422 if one == 4 else 200 for one in range(12)]
    assert max(slow.sizes) > 1


def test_a_fault_of_ours_is_500_without_its_details_and_the_next_request_is_answered(bundle, serve, monkeypatch):
    server, whole = serve(bundle), models.answer
    monkeypatch.setattr(server.server.service.batcher, "_work", lambda works: 1 / 0)
    answer = server.ask("/score", {"rows": [ROW]})
    assert (answer.status, answer.json) == (500, {"error": "a fault of polyrec; the log has it."})
    monkeypatch.setattr(server.server.service.batcher, "_work", whole)
    assert server.ask("/score", {"rows": [ROW]}).status == 200


def test_reload_swaps_the_model_and_refuses_what_it_must(make, serve, tmp_path):
    first, second = make("mmoe"), make("pooled")
    (first.parent / "out").symlink_to("/")
    server = serve(first, token="secret")
    assert server.ask("/reload", {"bundle": "pooled"}).status == 401
    assert server.ask("/reload", {"bundle": "pooled"}, Authorization="Bearer secreT").status == 401
    for path in ("..", "../..", "/etc", str(tmp_path), "out/etc", "a\0b", "x/../../y"):
        answer = server.ask("/reload", {"bundle": path}, **TOKEN)
        assert (answer.status, "serving root" in answer.json["error"]) == (422, True), path
    for path in ("log-3.parquet", "nothing", "."):
        answer = server.ask("/reload", {"bundle": path}, **TOKEN)
        assert (answer.status, "is not a bundle" in answer.json["error"]) == (422, True), path
        assert str(tmp_path) not in answer.json["error"]
    before = server.ask("/ready").json["model"]
    assert before.startswith("mmoe@")
    answer = server.ask("/reload", {"bundle": "pooled"}, **TOKEN)
    assert answer.status == 200
    assert answer.json["before"] == before
    assert server.ask("/score", {"rows": [ROW]}).json["model"] == Scorer.load(second).manifest.identity
    assert server.ask("/reload", {"bundle": str(first)}, **TOKEN).status == 200  # an absolute path under the root


def test_reloads_under_load_fail_no_request(make, serve):
    server = serve(make("mmoe"), token="secret")
    make("pooled")
    stop, statuses, models_seen = threading.Event(), [], set()

    def load():
        while not stop.is_set():
            answer = server.ask("/score", {"rows": [ROW] * 3})
            statuses.append(answer.status)
            models_seen.add(answer.json["model"].partition("@")[0])

    with ThreadPoolExecutor(3) as pool:
        for _ in range(3):
            pool.submit(load)
        for turn in range(12):
            name = ("pooled", "mmoe")[turn % 2]
            assert server.ask("/reload", {"bundle": name}, **TOKEN).status == 200
        stop.set()
    assert set(statuses) == {200}
    assert models_seen == {"mmoe", "pooled"}


def test_stopping_finishes_what_was_taken(bundle, serve, monkeypatch):
    Slow(monkeypatch, 0.3)
    server = serve(bundle)
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(server.ask, "/score", {"rows": [ROW]}) for _ in range(6)]
        time.sleep(0.15)
        port, server.server.should_exit = server.port, True
        assert [one.result().status for one in asked] == [200] * 6
    server.thread.join(10)
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_the_access_log_has_a_json_line_a_request(bundle, serve, caplog):
    with caplog.at_level(logging.INFO, "polyrec.access"):
        server = serve(bundle)
        server.ask("/score", {"rows": [ROW]})
        server.ask("/a%0Ab%00%22")
        lines = []
        until = time.monotonic() + 10  # a line is written after its answer has been sent
        while len(lines) < 2 and time.monotonic() < until:
            lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == "polyrec.access"]
            time.sleep(0.01)
    assert [(one["method"], one["status"]) for one in lines] == [("POST", 200), ("GET", 404)]
    assert lines[0]["path"] == "/score"
    assert "\n" not in lines[1]["path"]
    assert lines[0]["ms"] > 0


def test_without_pages_no_golden_row_is_shown(bundle, serve):
    server = serve(bundle, pages=False)
    assert [server.ask(path).status for path in ("/", "/examples", "/report")] == [404] * 3
    assert server.ask("/score", {"rows": [ROW]}).status == 200
