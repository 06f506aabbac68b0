"""All that reads a reader's own torch module: the probe, `init_`, `lsuv`, folding."""

from nbcode.networks.collect import Layer
from nbcode.networks.fold import fold_batch_norm
from nbcode.networks.initialize import SCHEMES, init_
from nbcode.networks.report import Report, probe
from nbcode.networks.rescale import lsuv
from nbcode.networks.table import Table
from nbcode.networks.verdict import Finding

__all__ = [
    "SCHEMES",
    "Finding",
    "Layer",
    "Report",
    "Table",
    "fold_batch_norm",
    "init_",
    "lsuv",
    "probe",
]
