"""scikit-learn's digits: 1,797 images of 8 x 8, small enough to run everything in a minute."""

from __future__ import annotations

from pipeline.datasets.image_data import ImageData


def load() -> ImageData:
    """Load the digits, with intensities 0 to 16 stretched to 0 to 255; there is no official test set."""
    import torch
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = torch.from_numpy(bunch.images).mul(255 / 16).round().to(torch.uint8).unsqueeze(1)
    return ImageData(images, torch.from_numpy(bunch.target).long(), tuple("0123456789"))
