"""test_acting: numpy gives torch's numbers, by the weights of the moment."""

import numpy as np
import pytest
import torch

from lichen.engine.decision import acting
from lichen.engine.modules import heads
from lichen.nets import mlp


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
@pytest.mark.parametrize("norm", ["none", "layer"])
@pytest.mark.parametrize("head", ["linear", "dueling"])
def test_numpy_and_torch_agree_before_and_after_training(activation, norm, head):
    net = mlp.build(in_shape=(5,), num_outputs=3, width=16, activation=activation, norm=norm)
    heads.replace(net, head, 3)
    act, x = acting.outputs_of(net), torch.randn(7, 5)
    for _ in range(2):
        with torch.no_grad():
            np.testing.assert_allclose(act(x.numpy()), net(x).numpy(), atol=1e-5)
            for parameter in net.parameters():
                parameter.add_(0.1)


def test_nets_of_other_kinds_are_asked_through_torch():
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Softmax(1))
    assert acting._layers(net) is None
    assert acting.outputs_of(net)(np.zeros((3, 2), np.float32)).shape == (3, 2)
