"""Intervals and tests as plain functions, each with its source.

Of scipy only `scipy.special` is used where every drill needs it: `scipy.stats` takes five times as
long to import as everything else here takes to compute.
"""

from exitdrill.stats.base import Interval, TooFewSamples
from exitdrill.stats.clusters import (
    clustered_standard_error,
    design_effect,
    effective_size,
    largest_design_effect,
)
from exitdrill.stats.energy import energy_excess
from exitdrill.stats.means import (
    bootstrap_interval,
    cluster_sums,
    mean_interval,
    proportion_interval,
)
from exitdrill.stats.mmd import Mmd, mmd_hamming
from exitdrill.stats.order import fewest_samples, percentile, percentile_interval
from exitdrill.stats.paired import exact_paired_p, tango_interval
from exitdrill.stats.sequential import (
    USUAL_STAKE,
    Bets,
    best_stake,
    e_process,
    fewest_bets,
    percentile_sequence,
)
from exitdrill.stats.significance import holm, mcnemar
from exitdrill.stats.size import detectable_effect, sample_size_paired

__all__ = [
    "USUAL_STAKE",
    "Bets",
    "Interval",
    "Mmd",
    "TooFewSamples",
    "best_stake",
    "bootstrap_interval",
    "cluster_sums",
    "clustered_standard_error",
    "design_effect",
    "detectable_effect",
    "e_process",
    "effective_size",
    "energy_excess",
    "exact_paired_p",
    "fewest_bets",
    "fewest_samples",
    "holm",
    "largest_design_effect",
    "mcnemar",
    "mean_interval",
    "mmd_hamming",
    "percentile",
    "percentile_interval",
    "percentile_sequence",
    "proportion_interval",
    "sample_size_paired",
    "tango_interval",
]
