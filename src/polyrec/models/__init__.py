"""Backbones: functions from a batch to named logits. One file a model, one import line here."""

from polyrec.models import mmoe as _mmoe
from polyrec.models import pooled as _pooled
from polyrec.models.registry import Model, build, entry, names, register

_IMPORTED = (_pooled, _mmoe)  # importing a model's file registers it

__all__ = ["Model", "build", "entry", "names", "register"]
