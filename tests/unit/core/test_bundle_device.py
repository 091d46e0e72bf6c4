"""A bundle scores where its model is, wherever the rows are."""

from types import SimpleNamespace
from typing import Any

from polyrec import models, objectives
from polyrec.artifact import Bundle
from polyrec.testing import example_layout, random_batch


def test_rows_go_to_the_device_of_the_model():
    layout = example_layout()
    objective = objectives.build("pointwise", layout)
    model = models.build("pooled", layout, objective.heads)
    nothing: Any = SimpleNamespace()
    bundle = Bundle(nothing, nothing, nothing, model.to("meta"), objective.to("meta"))  # the device that is everywhere
    found = bundle.logits(random_batch(layout, 3))
    assert {one.device.type for one in found.values()} == {"meta"}
