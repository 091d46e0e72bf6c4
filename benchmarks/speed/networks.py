"""The five networks once more, as bare functions of their weights: what all rows share, and what a scenario owns.

`shared(w, x)` maps inputs `[B, W]` to a row's state `[B, H]`; `own(w, s, h)` maps states of rows of scenario s to
logits `[2, n]`. A program that calls `own` with a scenario's rows does the work that is needed; one that calls it with
every row and throws away the rest does S times as much. `w` holds polyrec's weights by name, so that all programs
start alike; those that scenarios own (`owned`) come as one tensor a scenario: no gradient is filled with zeros for
all the others. Experts are one batched product, or one module after another with `apart`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import torch
from log import SIZES, side
from torch import Tensor
from torch.nn import functional

Weights = Mapping[str, Any]  # a tensor, or a sequence of one a scenario


class Network(Protocol):
    name: str
    options: ClassVar[dict[str, Any]]
    scenario: bool  # whether the scenario is a feature
    owned: str  # pattern of the names of weights `[S, ...]` that scenarios own

    def shared(self, w: Weights, x: Tensor, *, apart: bool) -> Tensor: ...
    def own(self, w: Weights, s: int, h: Tensor, mine: Tensor | None) -> Tensor: ...


def split(network: Network, name: str, whole: Tensor) -> Sequence[Tensor] | Tensor:
    """One tensor a scenario of what scenarios own, without an axis of one; anything else as it is."""
    if not re.match(network.owned, name):
        return whole
    return (whole.squeeze(1) if whole.ndim > 1 and whole.shape[1] == 1 else whole).unbind(0)


def experts(w: Weights, prefix: str, layers: int, x: Tensor, *, apart: bool) -> Tensor:
    """`[B, E, H]`."""
    if apart:
        found = []
        for expert in range(w[f"{prefix}.0.weight"].shape[0]):
            h = x
            for layer in range(layers):
                h = torch.relu(h @ w[f"{prefix}.{layer}.weight"][expert] + w[f"{prefix}.{layer}.bias"][expert])
            found.append(h)
        return torch.stack(found, 1)
    first, bias = w[f"{prefix}.0.weight"], w[f"{prefix}.0.bias"]
    h = torch.relu(torch.addmm(bias.flatten(), x, first.transpose(0, 1).flatten(1)))
    h = h.unflatten(1, tuple(bias.shape)).transpose(0, 1)
    for layer in range(1, layers):
        h = torch.relu(torch.baddbmm(w[f"{prefix}.{layer}.bias"][:, None], h, w[f"{prefix}.{layer}.weight"]))
    return h.transpose(0, 1)


def towers(w: Weights, prefix: str, layers: int, s: int, h: Tensor) -> Tensor:
    """`[2, n]` from `[2, n, H]`."""
    for layer in range(layers):
        h = torch.baddbmm(w[f"{prefix}.{layer}.bias"][s][:, None], h, w[f"{prefix}.{layer}.weight"][s])
        h = h if layer == layers - 1 else torch.relu(h)
    return h[..., 0]


class MMoE:
    name = "mmoe"
    options: ClassVar[dict[str, Any]] = {"expert_widths": [256, 128, 64], "towers": "cell"}
    scenario = True
    owned = r"gates\.|towers\."

    def shared(self, w: Weights, x: Tensor, *, apart: bool) -> Tensor:
        return torch.cat([x, experts(w, "experts.networks.layers", 3, x, apart=apart).flatten(1)], 1)

    def own(self, w: Weights, s: int, h: Tensor, mine: Tensor | None) -> Tensor:
        x, hidden = h[:, :-256], h[:, -256:].unflatten(1, (4, 64))
        gate = torch.addmm(w["gates.layer.bias"][s], x, w["gates.layer.weight"][s]).unflatten(1, (2, 4))
        mixed = torch.bmm(torch.softmax(gate, -1), hidden).transpose(0, 1)
        return towers(w, "towers.network.layers", 2, s, mixed)


class PLE:
    name = "ple"
    options: ClassVar[dict[str, Any]] = {"expert_widths": [256, 128, 64], "towers": "cell"}
    scenario = True
    owned = r"levels\.0\.gates\.|towers\."

    def shared(self, w: Weights, x: Tensor, *, apart: bool) -> Tensor:
        return torch.cat([x, experts(w, "levels.0.experts.networks.layers", 3, x, apart=apart).flatten(1)], 1)

    def own(self, w: Weights, s: int, h: Tensor, mine: Tensor | None) -> Tensor:
        x, hidden = h[:, :-256], h[:, -256:].unflatten(1, (4, 64))
        mixed = []
        for head in range(2):
            gate = torch.addmm(w["levels.0.gates.layer.bias"][s][head], x, w["levels.0.gates.layer.weight"][s][head])
            mixed.append(torch.bmm(torch.softmax(gate, -1)[:, None], hidden[:, [head, 2, 3]])[:, 0])
        return towers(w, "towers.network.layers", 2, s, torch.stack(mixed))


class STAR:
    name = "star"
    options: ClassVar[dict[str, Any]] = {}
    scenario = True
    owned = r".*\.own_"

    def __init__(self) -> None:
        self.running: dict[int, tuple[Any, Any, int]] = {}  # of each scenario: mean, variance, batches

    def moments_of(self, s: int, rows: Tensor) -> tuple[Any, Any]:
        """Of the scenario's rows; a single row takes the running ones."""
        old_mean, old_var, seen = self.running.get(s, (0.0, 1.0, 0))
        if len(rows) < 2:
            return old_mean, old_var
        mean, var = rows.mean(0), rows.var(0, unbiased=False)
        rate = max(1 / (seen + 1), 0.01)
        moved = (old + rate * (new.detach() - old) for old, new in ((old_mean, mean), (old_var, var)))
        self.running[s] = (*moved, seen + 1)
        return mean, var

    def shared(self, w: Weights, x: Tensor, *, apart: bool) -> Tensor:
        return x

    def own(self, w: Weights, s: int, h: Tensor, mine: Tensor | None) -> Tensor:
        z, scenario = h[:, :-16], h[:, -16:]
        few = z if mine is None else z[mine]
        mean, var = self.moments_of(s, few)
        z = (z - mean) * torch.rsqrt(torch.as_tensor(var) + 1e-5)
        z = z * (w["norm.gamma"] * w["norm.own_gamma"][s]) + w["norm.beta"] + w["norm.own_beta"][s]
        extra = functional.linear(torch.cat([scenario, z], 1), w["aux.layers.0.weight"], w["aux.layers.0.bias"])
        extra = functional.linear(torch.relu(extra), w["aux_end.weight"], w["aux_end.bias"]).T
        for layer in range(2):
            weight = w[f"layers.{layer}.weight"][0] * w[f"layers.{layer}.own_weight"][s]
            z = torch.relu(torch.addmm(w[f"layers.{layer}.bias"][0] + w[f"layers.{layer}.own_bias"][s], z, weight))
        y = z.expand(2, -1, -1)
        for layer in range(2):
            weight = w[f"towers.{layer}.weight"] * w[f"towers.{layer}.own_weight"][s]
            bias = w[f"towers.{layer}.bias"] + w[f"towers.{layer}.own_bias"][s]
            y = torch.baddbmm(bias[:, None], y if layer == 0 else torch.relu(y), weight)
        return y[..., 0] + extra


class AEM2TL:
    name = "aem2tl"
    options: ClassVar[dict[str, Any]] = {}
    scenario = True
    owned = r"scenario\.|task\.|layers\.|end\."

    def shared(self, w: Weights, x: Tensor, *, apart: bool) -> Tensor:
        gate = torch.softmax(functional.linear(x, w["shared_gate.layer.weight"], w["shared_gate.layer.bias"]), -1)
        every = experts(w, "shared.networks.layers", 2, x, apart=apart)
        common = torch.bmm(gate[:, None], every)[:, 0]
        # the prior reads the fields of user and item, and the scenario
        told = [place for place, name in enumerate(SIZES) if side(name) != "context"]
        fields = x[:, :-16].unflatten(1, (-1, 16))[:, told].flatten(1)
        prior = torch.cat([fields, x[:, -16:], x.detach()], 1)
        factors = []
        for place in range(2):
            inner = torch.relu(
                functional.linear(prior, w[f"gates.{place}.first.weight"], w[f"gates.{place}.first.bias"])
            )
            outer = functional.linear(inner, w[f"gates.{place}.last.weight"], w[f"gates.{place}.last.bias"])
            factors.append(2 * torch.sigmoid(outer))
        return torch.cat([x, common, *factors], 1)

    def own(self, w: Weights, s: int, h: Tensor, mine: Tensor | None) -> Tensor:
        x, common, *factors = torch.split(h, [h.shape[1] - 256, 64, 128, 64], 1)
        first = torch.addmm(w["scenario.experts.first.bias"][s], x, w["scenario.experts.first.weight"][s])
        every = torch.relu(first).unflatten(1, (2, 128)).transpose(0, 1)
        bias, weight = (w[f"scenario.experts.rest.layers.0.{one}"][s] for one in ("bias", "weight"))
        every = torch.relu(torch.baddbmm(bias[:, None], every, weight))
        gate = torch.addmm(w["scenario.gate.layer.bias"][s], x, w["scenario.gate.layer.weight"][s])
        bottom = torch.cat([common, torch.bmm(torch.softmax(gate, -1)[:, None], every.transpose(0, 1))[:, 0]], 1)
        parts = []
        for one in ("shared", "own"):
            y = torch.addmm(w[f"task.{one}.first.bias"][s], bottom, w[f"task.{one}.first.weight"][s])
            parts.append(torch.relu(y).unflatten(1, (2, 64)))
        gate = torch.softmax((bottom @ w["task.gate.weight"][s]).unflatten(1, (2, 3)), -1)
        both = torch.bmm(gate[..., :2], parts[0]) + gate[..., 2:] * parts[1]
        y = both.transpose(0, 1)
        for place in range(2):
            y = torch.baddbmm(w[f"layers.{place}.bias"][s][:, None], y, w[f"layers.{place}.weight"][s])
            y = torch.relu(y) * factors[place].unflatten(1, (2, -1)).transpose(0, 1)
        return torch.baddbmm(w["end.bias"][s][:, None], y, w["end.weight"][s])[..., 0]


class AutoIFS:
    name = "autoifs"
    options: ClassVar[dict[str, Any]] = {"gates": "open", "scenario_feature": False}
    scenario = False
    owned = r"scenario\.own\."

    def shared(self, w: Weights, x: Tensor, *, apart: bool) -> Tensor:
        for layer in (0, 2):
            x = torch.relu(functional.linear(x, w[f"bottom.layers.{layer}.weight"], w[f"bottom.layers.{layer}.bias"]))
        return x

    def own(self, w: Weights, s: int, h: Tensor, mine: Tensor | None) -> Tensor:
        shared = functional.linear(h, w["scenario.shared.0.weight"], w["scenario.shared.0.bias"])
        low = (h @ w["scenario.own.0.down"][s]) @ w["scenario.own.0.up"][s] + w["scenario.own.0.bias"][s]
        z = torch.relu(shared + low)
        # with every flow open the four sum up to the path through all units
        task = functional.linear(z, w["task.shared.0.weight"], w["task.shared.0.bias"]).T
        own = torch.baddbmm(w["task.own.0.bias"][:, None], z @ w["task.own.0.down"], w["task.own.0.up"])[..., 0]
        return w["bias"] + task + own


NETWORKS: dict[str, Network] = {one.name: one for one in (MMoE(), PLE(), STAR(), AEM2TL(), AutoIFS())}
