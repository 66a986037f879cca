"""heads: the last layer of a net by its kind: linear, hidden, by cosines, bounded, of value and advantages.

Papers: Gidaris and Komodakis 2018, section 3.2 (cosine); Wang et al. 2016, equation 9 (dueling).
Shapes: B rows, F features, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from lichen.core.errors import UsageError
from lichen.engine.modules import architecture

OPTION = "head_kind"
"""Where a Model's options say of which kind its head is; nothing where it is the net's own."""
SCALE = 10.0
"""Of cosines, which lie too close together for a softmax."""


class Cosine(nn.Linear):
    """scale * cos(f, w_k): only the direction of the features counts."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)
        self.scale = nn.Parameter(torch.tensor(SCALE))

    def forward(self, x_BF: Tensor) -> Tensor:
        weight_KF = functional.normalize(self.weight, dim=-1)
        return self.scale * functional.linear(functional.normalize(x_BF, dim=-1), weight_KF)


class Bounded(nn.Linear):
    """tanh(W f + b): shares of a range, such as those of an action."""

    def forward(self, x_BF: Tensor) -> Tensor:
        return torch.tanh(super().forward(x_BF))


def mlp(in_features: int, out_features: int) -> nn.Sequential:
    """One hidden layer as wide as the features."""
    return nn.Sequential(nn.Linear(in_features, in_features), nn.ReLU(), nn.Linear(in_features, out_features))


class Dueling(nn.Module):
    """V(s) + A(s, a) - mean A(s, .): what a state is worth, apart from what actions add."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.advantage = nn.Linear(in_features, out_features)
        self.value = nn.Linear(in_features, 1)

    def forward(self, x_BF: Tensor) -> Tensor:
        advantage_BK = self.advantage(x_BF)
        return self.value(x_BF) + advantage_BK - advantage_BK.mean(-1, keepdim=True)


KINDS: dict[str, Callable[[int, int], nn.Module]] = {
    "linear": nn.Linear,
    "mlp": mlp,
    "cosine": Cosine,
    "dueling": Dueling,
    "tanh": Bounded,
}


def of(module: nn.Module) -> nn.Module:
    """The head of a net.

    Raises:
        UsageError: it has none that features go into.
    """
    head = getattr(module, "head", None)
    if not callable(getattr(module, "features", None)) or head is None or _first(head) is None:
        raise UsageError(
            f"the net must have `features(x)` and a `head` of linear layers; {type(module).__name__} does not"
        )
    return head


def width(module: nn.Module) -> int:
    """How many features a net gives to its head."""
    layer = _first(of(module))
    assert layer is not None
    return layer.in_features


def kind(module: nn.Module) -> str:
    head = of(module)
    own = {Cosine: "cosine", Dueling: "dueling", Bounded: "tanh"}
    return own.get(type(head), "linear" if isinstance(head, nn.Linear) else "mlp")


def replace(module: nn.Module, kind: str, num_outputs: int) -> None:
    """Gives a net a fresh head, drawn from torch's generator."""
    old = of(module)
    module.head = KINDS[kind](width(module), num_outputs).to(next(old.parameters()).device)
    if made := getattr(module, architecture.ORIGIN, None):
        setattr(module, architecture.ORIGIN, (made[0], options(made[1], kind, num_outputs)))


def options(old: dict[str, object], kind: str, num_outputs: int) -> dict[str, object]:
    """The options that rebuild a net with such a head."""
    rest = {name: given for name, given in old.items() if name != OPTION}
    return {**rest, "num_outputs": num_outputs, **({} if kind == "linear" else {OPTION: kind})}


def _first(head: nn.Module) -> nn.Linear | None:
    return next((layer for layer in head.modules() if isinstance(layer, nn.Linear)), None)


def answering_layer(module: nn.Module, image_shape: Sequence[int]) -> nn.Module:
    """The layer whose outputs are the net's: its `head`, or the last one with weights that runs."""
    head = getattr(module, "head", None)
    if isinstance(head, nn.Linear):
        return head
    ran: list[nn.Module] = []
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    hooks = [layer.register_forward_hook(lambda layer, inputs, output: ran.append(layer)) for layer in layers]
    with torch.inference_mode():
        module(torch.zeros(1, *image_shape))
    for hook in hooks:
        hook.remove()
    if not ran:
        raise UsageError("this net has no linear layer or convolution, so no channels to prune")
    return ran[-1]
