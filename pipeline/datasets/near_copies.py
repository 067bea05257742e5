"""Images that are nearly another one: resized, recompressed, brightened or mirrored copies of it.

Images are compared by the correlation of their grey values at 16 x 16 pixels. Images of one class may correlate highly,
too (MNIST's ones do, up to 0.997); a copy stands out in that it is far nearer to its original than to any other image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.models.inputs import Images, as_input, chunks

SIDE = 16  # pixels a side at which images are compared
MOST = 2_000  # test images that are looked at
LEAST = 0.95  # correlation of two copies
LEAST_SIDE = 12  # pixels a side below which images are too alike to tell: of digits, 8 x 8, 1 % would be found
# By rank: a copy is nearer to its original than this share of its distance to the image of this rank among its nearest,
# for one rank at least. So 5 of MNIST's 10,000 test images are found, and 66 of Fashion-MNIST's, of the same articles
STANDS_OUT = {10: 0.15, 50: 0.05}
REMARKABLE = 0.002  # share of the test images above which it is worth a remark
CHUNK = 2_000


@dataclass(frozen=True)
class NearCopies:
    """Test images with their training images.

    Attributes:
        examined: How many test images were looked at: all, or some drawn at random.
        pairs: Indices of a test image and the training image that it is nearly a copy of; the most alike first.
    """

    examined: int
    pairs: list[tuple[int, int]]

    @property
    def are_many(self) -> bool:
        """Whether they are worth a remark."""
        return len(self.pairs) > REMARKABLE * self.examined


def find_near_copies(train: Images, test: Images, most: int = MOST) -> NearCopies:
    """Find test images that are nearly a training image.

    Each test image is compared with every training image, as it is and mirrored; images of less than 12 pixels a side
    are not looked at. To find near copies within one set, give it twice: no image is then compared with itself, and a
    pair may be found from both of its sides.

    Args:
        train: uint8, shape (N, C, H, W).
        test: uint8, shape (M, C, H, W).
        most: How many test images are looked at, drawn at random if there are more.

    Examples:
        >>> images = torch.randint(0, 256, (80, 1, 24, 24), generator=torch.Generator().manual_seed(0)).byte()
        >>> darker = images[:2] // 2 + 9
        >>> find_near_copies(images, torch.cat([darker, 255 - images[:2]])).pairs
        [(0, 0), (1, 1)]
    """
    chosen = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))[:most].sort().values
    others = len(train) - (test is train)
    if not len(chosen) or others < min(STANDS_OUT) or min(test.shape[2:]) < LEAST_SIDE:
        return NearCopies(0, [])
    pieces = [test[part] for part in torch.split(chosen, CHUNK)]
    queries = torch.cat([_describe(images) for images in pieces] + [_describe(images.flip(3)) for images in pieces])
    ranks = min(max(STANDS_OUT), others)
    likeness, nearest = _nearest(queries, train, ranks, chosen.repeat(2) if test is train else None)
    rows = _stand_out(likeness).nonzero().flatten()
    likeness = likeness[:, 0]
    pairs: dict[int, int] = {}
    for row in rows[likeness[rows].argsort(descending=True)].tolist():
        pairs.setdefault(int(chosen[row % len(chosen)]), int(nearest[row]))
    return NearCopies(len(chosen), list(pairs.items()))


def _nearest(queries: Tensor, train: Images, ranks: int, own: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the correlations of each query with the training images most like it, and the index of the first.

    The correlations have shape (M, ranks), the greatest first. The training images are read once. The queries are
    descriptions, shape (M, pixels). A training image that a query is itself does not count: ``own``, of shape (M,),
    names it; None stands for no such images.
    """
    likeness, nearest = torch.full((len(queries), ranks), -1.0), torch.zeros(len(queries), dtype=torch.long)
    for number, images in enumerate(chunks(train, CHUNK)):
        correlations = queries @ _describe(images).T
        if own is not None:
            here = (own >= number * CHUNK) & (own < number * CHUNK + len(images))
            correlations[here, own[here] - number * CHUNK] = -1
        found, index = correlations.max(1)
        nearest = torch.where(found > likeness[:, 0], index + number * CHUNK, nearest)
        likeness = torch.cat([likeness, correlations], 1).topk(ranks).values
    return likeness, nearest


def _stand_out(likeness: Tensor) -> Tensor:
    """Tell of each query whether it is nearly a copy, by its greatest correlations with others, shape (M, ranks)."""
    distances = 1 - likeness
    shares = {rank: share for rank, share in STANDS_OUT.items() if rank <= likeness.shape[1]}
    far = [share * distances[:, rank - 1] > distances[:, 0] for rank, share in shares.items()]
    return torch.stack(far).any(0) & (likeness[:, 0] > LEAST)


def _describe(images: Tensor) -> Tensor:
    """Return grey values at 16 x 16 pixels at most, shape (N, pixels), of mean 0 and length 1; 0 for a plain image."""
    grey = as_input(images).mean(1, keepdim=True)
    height, width = (min(SIDE, side) for side in grey.shape[2:])
    small = functional.adaptive_avg_pool2d(grey, (height, width)).flatten(1)
    return functional.normalize(small - small.mean(1, keepdim=True), eps=1e-3)
