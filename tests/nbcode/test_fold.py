"""A net whose batch norms are folded does what it did, and nothing else is touched."""

import copy

import pytest
import torch
from torch import nn

from nbcode import norms


def settle(net, seed=0):
    """Norms with states and parameters of their own, in eval mode and float64."""
    generator = torch.Generator().manual_seed(seed)
    for m in net.modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm):
            for t, low, high in (
                (m.running_mean, -1, 1),
                (m.running_var, 0.01, 2),
                (m.weight, -2, 2),
                (m.bias, -1, 1),
            ):
                if t is not None:
                    t.data.uniform_(low, high, generator=generator)
    return net.double().eval()


def assert_folds(net, x, folded=None):
    """The folded net does the same without a norm, and the original is as it was."""
    before = copy.deepcopy(net.state_dict())
    theirs = net(x)
    folded = norms.fold_batch_norm(net)
    assert not any("BatchNorm" in type(m).__name__ for m in folded.modules())
    assert not any(m.training for m in folded.modules())
    torch.testing.assert_close(folded(x), theirs, rtol=1e-12, atol=1e-12)
    assert all(torch.equal(a, before[k]) for k, a in net.state_dict().items())
    mine = {p.data_ptr() for p in folded.parameters()}
    assert not mine & {p.data_ptr() for p in net.parameters()}
    return folded


def conv_net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8, eps=0.1), nn.ReLU()),
        nn.Sequential(
            nn.Conv2d(8, 6, 3, stride=2, groups=2, bias=False), nn.BatchNorm2d(6), nn.ReLU()
        ),
        nn.Flatten(),
        nn.Linear(54, 5),
        nn.BatchNorm1d(5, affine=False),
        nn.Dropout(),
        nn.Linear(5, 2),
    )


def test_fold_a_conv_net_and_a_linear_layer():
    net = settle(conv_net())
    folded = assert_folds(net, torch.randn(4, 3, 8, 8, dtype=torch.float64))
    assert [type(m).__name__ for m in folded[0]] == ["Conv2d", "Identity", "ReLU"]
    assert type(folded[4]) is nn.Identity and folded[1][0].bias is not None
    assert torch.equal(folded[6].weight, net[6].weight)
    assert folded[1][0].bias.requires_grad


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
def test_fold_each_kind_of_convolution(kind, bias, groups, dims):
    torch.manual_seed(1)
    layer = getattr(nn, f"{kind}{dims}d")(
        4, 6, 3, stride=2, padding=1, groups=groups, bias=bias
    )
    net = settle(nn.Sequential(layer, getattr(nn, f"BatchNorm{dims}d")(6, eps=0.3)))
    assert_folds(net, torch.randn(2, 4, *(5,) * dims, dtype=torch.float64))


def test_fold_across_the_end_of_a_nested_sequential():
    net = nn.Sequential(nn.Sequential(nn.Linear(3, 4)), nn.Sequential(nn.BatchNorm1d(4)))
    assert_folds(settle(net), torch.randn(5, 3, dtype=torch.float64))


def test_fold_leaves_what_shares_a_weight_or_a_relu_alone():
    relu, a, b = nn.ReLU(), nn.Linear(3, 3), nn.Linear(3, 3)
    b.weight = a.weight
    net = nn.Sequential(a, nn.BatchNorm1d(3), relu, b, relu, nn.LayerNorm(3))
    folded = assert_folds(settle(net), torch.randn(5, 3, dtype=torch.float64))
    assert torch.equal(folded[3].weight, net[3].weight)


def test_fold_in_float32_keeps_dtype_and_frozen_parameters():
    net = settle(conv_net()).float()
    net[0][0].weight.requires_grad_(False)
    folded, x = norms.fold_batch_norm(net), torch.randn(4, 3, 8, 8)
    torch.testing.assert_close(folded(x), net(x), rtol=1e-4, atol=1e-4)
    assert all(p.dtype == torch.float32 for p in folded.parameters())
    assert not folded[0][0].weight.requires_grad and not folded[0][0].bias.requires_grad


def test_fold_without_a_norm_is_a_copy():
    net = nn.Linear(2, 2).double().eval()
    assert assert_folds(net, torch.ones(1, 2, dtype=torch.float64)) is not net
