"""Balancers: how the named terms of a loss become gradients. Importing them registers them."""

from polyrec.objectives.balance import fixed, gradnorm, pcgrad, uncertainty
from polyrec.objectives.balance.balancer import Balancer, build, names, register

__all__ = ["Balancer", "build", "fixed", "gradnorm", "names", "pcgrad", "register", "uncertainty"]
