"""Balancers: how the named terms of a loss become gradients. Importing them registers them."""

from polyrec.objectives.balance import cagrad, dwa, famo, fixed, gradnorm, mgda, nash_mtl, pcgrad, uncertainty
from polyrec.objectives.balance.balancer import Balancer, build, names, register

__all__ = [
    "Balancer",
    "build",
    "cagrad",
    "dwa",
    "famo",
    "fixed",
    "gradnorm",
    "mgda",
    "names",
    "nash_mtl",
    "pcgrad",
    "register",
    "uncertainty",
]
