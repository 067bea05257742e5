"""Many classifiers as one computation, where they are linear heads on the same embeddings."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch

from pipeline.datasets.batches import StackedData
from pipeline.learning.classify import Trained, Trial, best, conclude, digest, start
from pipeline.learning.fitting import Examples, Fitting, Network
from pipeline.learning.plan import Plan, Pretrained
from pipeline.models.stacked import StackedHeads
from pipeline.recording import Part
from pipeline.training import arithmetic, fit, seed_everything


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
    networks, befores, classifiers, parts = [], [], [], []
    for fitting in fittings:
        seed_everything(fitting.plan.seed)
        backbone, head = start(fitting)
        network, classifier = Network(backbone, head, fitting.examples.splits[0]), fitting.on_embeddings(head)
        inputs = fitting.parts(network, pretrained.embeddings)
        networks.append(network)
        befores.append(digest(backbone))
        classifiers.append(classifier)
        parts.append(Part(classifier, functools.partial(fitting.measure, classifier, inputs)))
    settings = plans[0].settings
    draws = [(torch.from_numpy(own.examples.splits[0].train), own.plan.seed) for own in fittings]
    data = StackedData(pretrained.embeddings, examples[0].labels, draws, plans[0].train.batch_size)
    heads = StackedHeads(classifiers)
    with arithmetic(plans[0].runtime) as device:
        heads.to(device)
        of_each_length = {labels.shape[1]: (x, labels) for x, labels in data.stacked(device, lambda: 0)}
        if not all(heads.same_bits(*batch) for batch in of_each_length.values()):
            return None
    monitor = None if settings.patience is None else "loss_val"
    results = fit(heads, data, plans[0].runtime, settings.max_epochs, parts, monitor, settings.patience or 0)
    found, count = [], len(plans[0].candidates)
    for number, plan in enumerate(plans):
        mine = slice(number * count, (number + 1) * count)
        trials = [Trial.of(result) for result in results[mine]]
        chosen = mine.start + best(trials)
        found.append(conclude(plan, networks[chosen], results[chosen], befores[chosen], trials))
    return found
