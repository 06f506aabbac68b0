"""Shared by the judges that run a reader's torch program."""

import functools

import torch


def seeded(judge):
    """The judge with torch's generator at a fixed place, and the reader's left where it was."""

    @functools.wraps(judge)
    def judged(answer):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)  # torch.manual_seed moves a GPU's, too
            return judge(answer)

    return judged
