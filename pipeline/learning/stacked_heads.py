"""Many classifiers as one computation, where they are linear heads on the same embeddings."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch

from pipeline.datasets.batches import StackedData
from pipeline.learning.classify import Trained, Trial, best, digest, finish, start
from pipeline.learning.fitting import Examples, Fitting, Network
from pipeline.learning.plan import Plan, Pretrained
from pipeline.models.linear_stack import StackedHeads
from pipeline.training.recording import Monitored
from pipeline.training.trainer import fit, seed_everything, training_device


def train_stacked(plans: Sequence[Plan], examples: Sequence[Examples], pretrained: Pretrained) -> list[Trained] | None:
    """Train classifiers that differ in their draws, each as ``train_classifier`` would, to the bit.

    Args:
        plans: ``stackable``, and the same but for the seed.
        examples: Of each, from the same images, with as many labels to train on.
        pretrained: The encoder that all start from.

    Returns:
        The classifiers, in the order of the plans; None where this machine's batched matrix products round otherwise
        than single ones, so that they would not be the same.

    Raises:
        PipelineError: A training diverged.
    """
    fittings = [
        Fitting(candidate, own, pretrained, None)
        for plan, own in zip(plans, examples, strict=True)
        for candidate in plan.candidates
    ]
    networks = [_untrained(fitting) for fitting in fittings]
    before = digest(networks[0].backbone)  # all have the pretrained encoder
    classifiers = [fitting.on_embeddings(network.head) for fitting, network in zip(fittings, networks, strict=True)]
    parts = [
        Monitored(own, functools.partial(fitting.measure, own, fitting.parts(network, pretrained.embeddings)))
        for own, fitting, network in zip(classifiers, fittings, networks, strict=True)
    ]
    settings = plans[0].settings
    draws = [(torch.from_numpy(own.examples.splits[0].train), own.plan.seed) for own in fittings]
    data = StackedData(pretrained.embeddings, examples[0].labels, draws, plans[0].train.batch_size)
    runtime = plans[0].float32_runtime
    device = training_device(runtime)
    heads = StackedHeads(classifiers).to(device)
    of_each_length = {labels.shape[1]: (x, labels) for x, labels in data.stacked(device, lambda: 0)}
    if not all(heads.same_bits(*batch) for batch in of_each_length.values()):
        return None
    monitor = "loss_val" if settings.patience else None
    results = fit(heads, data, runtime, settings.max_epochs, parts, monitor, settings.patience)
    found, count = [], len(plans[0].candidates)
    for first in range(0, len(fittings), count):
        trials = [Trial.of(result) for result in results[first : first + count]]
        chosen = first + best(trials)
        found.append(finish(fittings[chosen], networks[chosen], results[chosen], before, trials))
    return found


def _untrained(fitting: Fitting) -> Network:
    """Where ``train_classifier`` would start."""
    seed_everything(fitting.plan.seed)
    return Network(*start(fitting), fitting.examples.splits[0])
