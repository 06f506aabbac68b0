"""Shared by the judges that run a reader's torch program."""

import functools

import torch
from torch import nn

from nbcode.exercises._judge import NotYet


def seeded(judge):
    """The judge, with torch's generator at a fixed place and back where it was."""

    @functools.wraps(judge)
    def judged(answer):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)  # torch.manual_seed moves a GPU's, too
            return judge(answer)

    return judged


def module(model, call):
    if not isinstance(model, nn.Module):
        kind = type(model).__name__
        raise NotYet(f"{call} should be a torch.nn.Module, yours is {kind}.")
    return model


def rms(a):
    return a.double().square().mean().sqrt().item()


def linears(model):
    return [m for m in model.modules() if isinstance(m, nn.Linear)]
