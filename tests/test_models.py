from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pipeline.config import RuntimeConfig
from pipeline.datasets.batches import InMemoryData
from pipeline.models.autoencoder import Autoencoder
from pipeline.models.classifier import Backbone, Classifier, Rates, make_head
from pipeline.models.decoders import ConvDecoder, MLPDecoder
from pipeline.models.encoders import ConvEncoder, MLPEncoder, ResidualEncoder, Shape
from pipeline.models.losses import binary_cross_entropy, squared_error
from pipeline.models.side_by_side import FoldLearner, Schedule, SideBySide
from pipeline.training.recording import Rounds
from pipeline.training.trainer import fit, seed_everything


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 33, 21), (4, 96, 9), (1, 96, 96)])
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_encoders_and_decoders_fit_any_image(shape: Shape, depth: int) -> None:
    images = torch.rand(3, *shape)
    widths = [8] * depth
    for encoder in (
        ConvEncoder(shape, 5, widths, [16]),
        ConvEncoder(shape, 5, widths),
        ResidualEncoder(shape, 5, widths, [16]),
        MLPEncoder(shape, 5, widths),
    ):
        assert encoder.out_features == 5
        assert encoder(images).shape == (3, 5)
    for decoder in (ConvDecoder(5, shape, widths, [16]), ConvDecoder(5, shape, widths), MLPDecoder(5, shape, widths)):
        assert decoder(torch.randn(3, 5)).shape == images.shape


def test_losses_are_summed_over_pixels_and_averaged_over_images() -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(4, 1, 7, 7), torch.rand(4, 1, 7, 7)
    by_hand = -(target * F.logsigmoid(logits) + (1 - target) * F.logsigmoid(-logits)).sum((1, 2, 3)).mean()
    assert binary_cross_entropy(logits, target) == pytest.approx(by_hand.item(), rel=1e-6)
    assert squared_error(logits, target) == pytest.approx(
        ((logits.sigmoid() - target) ** 2).sum((1, 2, 3)).mean().item(), rel=1e-6
    )


def test_the_denoising_target_is_the_clean_image() -> None:
    class Blank(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.zeros_like(x)

    shape = (1, 8, 8)
    model = Autoencoder(MLPEncoder(shape, 4, [8]), MLPDecoder(4, shape, [8]), Blank()).eval()
    model.log = lambda *_, **__: None  # type: ignore[method-assign]
    images = torch.randint(0, 256, (6, *shape), dtype=torch.uint8)
    blank = torch.zeros(6, *shape)
    expected = binary_cross_entropy(model.decoder(model.encoder(blank)), images / 255)
    loss = model.training_step((images, torch.zeros(6)))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_calibrated_backbone_standardises() -> None:
    torch.manual_seed(0)
    backbone = Backbone(MLPEncoder((1, 8, 8), 6, [8])).eval()
    images = torch.rand(500, 1, 8, 8)
    with torch.no_grad():
        backbone.calibrate(backbone.encoder(images))
        features = backbone(images)
    assert features.mean(0).abs().max() < 1e-3
    assert (features.std(0) - 1).abs().max() < 0.05


def test_a_frozen_backbone_stays_in_eval_mode_and_gets_no_gradient() -> None:
    backbone = Backbone(ConvEncoder((1, 8, 8), 6, [4]))
    model = Classifier(backbone, make_head(6, 3), False, nn.Identity(), Rates(0.1))
    model.train()
    assert model.training
    assert model.head.training
    assert not any(module.training for module in backbone.modules())
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    F.cross_entropy(model(torch.rand(8, 1, 8, 8)), torch.arange(8) % 3).backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is None for parameter in backbone.parameters())
    assert all(parameter.grad is not None for parameter in model.head.parameters())
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


def test_a_trained_backbone_has_its_own_learning_rate() -> None:
    backbone, head = Backbone(ConvEncoder((1, 8, 8), 6, [4])), make_head(6, 3, [5])
    model = Classifier(backbone, head, True, nn.Identity(), Rates(head_lr=0.2, encoder_lr=0.1))
    rates = {id(p): group["lr"] for group in model.groups() for p in group["params"]}
    assert {rates[id(p)] for p in model.backbone.parameters()} == {0.1}
    assert {rates[id(p)] for p in model.head.parameters()} == {0.2}


@pytest.mark.parametrize(("ema_decay", "kept"), [(0.1, (0.1, 0.1)), (0.99, (2 / 11, 3 / 12))])
def test_the_average_answers_in_eval_mode_and_is_what_is_kept(ema_decay: float, kept: tuple[float, float]) -> None:
    torch.manual_seed(0)
    backbone = Backbone(ConvEncoder((1, 8, 8), 6, [4]))
    model = Classifier(backbone, make_head(6, 3), True, nn.Identity(), Rates(0.1, 0.1, ema_decay=ema_decay))
    first, images, average = next(model.head.parameters()), torch.rand(8, 1, 8, 8), model.averaging()
    path = []
    for _ in range(3):
        path.append(first.detach().clone())
        average()
        with torch.no_grad():
            first.add_(1.0)
    by_hand = path[0]
    for share, weights in zip(kept, path[1:], strict=True):
        by_hand = share * by_hand + (1 - share) * weights
    answer = model.eval()(images)
    model.keep_ema()
    torch.testing.assert_close(first, by_hand)
    torch.testing.assert_close(model(images), answer)
    assert {name.split(".")[0] for name in model.state_dict()} == {"backbone", "head"}


def test_side_by_side_each_learns_from_its_own_images_as_if_it_were_alone() -> None:
    torch.manual_seed(0)
    images, labels = torch.rand(12, 1, 8, 8), torch.arange(12) % 3
    parts = [torch.arange(8), torch.arange(4, 12)]
    classifiers = [
        Classifier(Backbone(ConvEncoder((1, 8, 8), 6, [4])), make_head(6, 3), True, nn.Identity(), Rates(0.1, 0.1))
        for _ in parts
    ]
    alone = []
    for classifier, part in zip(classifiers, parts, strict=True):
        classifier.loss(images[part], labels[part]).backward()  # type: ignore[no-untyped-call]
        alone.append([parameter.grad.clone() for parameter in classifier.parameters() if parameter.grad is not None])
        classifier.zero_grad()
    together = SideBySide(
        [FoldLearner(c, labels, part) for c, part in zip(classifiers, parts, strict=True)], Schedule(9, 0)
    )
    torch.stack(together.losses(images, torch.arange(12))).sum().backward()  # type: ignore[no-untyped-call]
    for classifier, gradients in zip(classifiers, alone, strict=True):
        found = [parameter.grad for parameter in classifier.parameters() if parameter.grad is not None]
        torch.testing.assert_close(found, gradients)


def test_a_batch_of_which_no_fold_can_learn_is_passed_over() -> None:
    seed_everything(0)
    embeddings, labels, folds = torch.randn(5, 6), torch.arange(5) % 2, (torch.arange(3), torch.arange(3, 5))
    learners = [
        FoldLearner(Classifier(nn.Identity(), make_head(6, 2), False, nn.Identity(), Rates(0.1)), labels, part)
        for part in folds
    ]
    batches = InMemoryData(embeddings, torch.arange(5), torch.arange(5), batch_size=2, seed=0, steps=20)
    before = copy.deepcopy(learners[1].classifier.head.state_dict())
    result = fit(
        SideBySide(learners, Schedule(160, 0)), batches, RuntimeConfig(progress=False), Rounds(8, "step", 20), dict
    )
    assert all(math.isfinite(row["train_loss"]) for row in result.history)
    assert not torch.equal(learners[1].classifier.head.state_dict()["0.weight"], before["0.weight"])
