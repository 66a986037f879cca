"""timm: any image net of the timm library, as `timm/<name>`: its body, and a head of our own."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from lichen.core.errors import NotFoundError, missing_package, nearest

USUAL = "resnet18"
"""The net where none is named."""


class Timm(nn.Module):
    """A timm net without its classifier, and a head of our own."""

    def __init__(self, body: nn.Module, num_features: int, num_outputs: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(num_features, num_outputs)

    def features(self, x_BCHW: Tensor) -> Tensor:
        return self.body(x_BCHW)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.head(self.features(x_BCHW))


def build(*, in_shape: tuple[int, int, int], num_outputs: int, variant: str = USUAL) -> nn.Module:
    timm, config = _library(), _config(variant)
    channels, height, breadth = in_shape
    # Nets with position tables are built for one size.
    sized: dict[str, Any] = {"img_size": (height, breadth)} if config.fixed_input_size else {}
    body = timm.create_model(variant, num_classes=0, in_chans=channels, **sized)
    # Some bodies end in a layer between their features and the classifier.
    num_features = getattr(body, "head_hidden_size", None) or body.num_features
    return Timm(body, num_features, num_outputs)


def expected(variant: str) -> dict[str, Any]:
    """What timm's weights of a net were trained with: `mean`, `std` and `image_size`."""
    config = _config(variant or USUAL)
    return {"mean": list(config.mean), "std": list(config.std), "image_size": config.input_size[-1]}


def _config(variant: str) -> Any:
    timm = _library()
    if not timm.is_model(variant):
        raise NotFoundError(f"timm has no net `{variant}`", hint=nearest(variant, timm.list_models()))
    return timm.get_pretrained_cfg(variant) or timm.models.PretrainedCfg()


def _library() -> Any:
    try:
        import timm
    except ImportError:
        raise missing_package("timm", "vision") from None
    return timm
