"""Backbones: functions from a batch to named logits. One file a model, one import line here."""

from polyrec.models.adasparse import AdaSparse as AdaSparse
from polyrec.models.aem2tl import AEM2TL as AEM2TL
from polyrec.models.aitm import AITM as AITM
from polyrec.models.autoifs import AutoIFS as AutoIFS
from polyrec.models.m2m import M2M as M2M
from polyrec.models.mmoe import MMoE as MMoE
from polyrec.models.mple import MPLE as MPLE
from polyrec.models.pepnet import PEPNet as PEPNet
from polyrec.models.ple import PLE as PLE
from polyrec.models.pooled import Pooled as Pooled
from polyrec.models.registry import Model as Model
from polyrec.models.registry import build as build
from polyrec.models.registry import entry as entry
from polyrec.models.registry import names as names
from polyrec.models.registry import register as register
from polyrec.models.sarnet import SARNet as SARNet
from polyrec.models.sass import SASS as SASS
from polyrec.models.shared_bottom import SharedBottom as SharedBottom
from polyrec.models.single import Single as Single
from polyrec.models.star import STAR as STAR
from polyrec.models.towers import TwoTowers as TwoTowers
from polyrec.models.two_tower import TwoTower as TwoTower
