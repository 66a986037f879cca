"""test_mlp: forward and gradient are the closed form y = V s(W x + b) + c."""

import torch

from lichen.engine.modules import architecture


def test_forward_and_gradient_are_the_closed_form():
    net = architecture.build("mlp", {"width": 5, "depth": 1, "activation": "sigmoid"}, (1, 2, 3), 4).double()
    x = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(2, 1, 2, 3)
    hidden, head = net.body[1], net.head
    flat = x.flatten(1)
    s = 1 / (1 + torch.exp(-(flat @ hidden.weight.T + hidden.bias)))
    y = s @ head.weight.T + head.bias
    torch.testing.assert_close(net(x), y)
    net(x).square().sum().backward()
    error = 2 * y.detach()
    inner = (error @ head.weight.detach()) * (s * (1 - s)).detach()
    torch.testing.assert_close(head.weight.grad, error.T @ s.detach())
    torch.testing.assert_close(hidden.weight.grad, inner.T @ flat)
    torch.testing.assert_close(hidden.bias.grad, inner.sum(0))
