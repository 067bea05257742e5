"""The pipeline as scikit-learn estimators: the stages' own trainings, from arrays, with nothing on disk.

Images come as ``X``: rows of pixels (N, pixels), (N, H, W) or (N, C, H, W). Black and white are found by the rule of
``pipeline.datasets.scale``: bytes run to 255, floats to 1, or whole numbers to 255. Any other numbers are taken as
intensities between the least and the greatest value that ``fit`` saw. What became 0 and 1 for all pixels alike is kept
in ``pixel_range_``; later images are mapped in the same way, with a warning if they are scaled otherwise. The networks
then see floats, nothing is rounded to bytes.
"""

from pipeline.estimators.classifier import SemiSupervisedClassifier
from pipeline.estimators.partial_labels import UnlabelledWarning, scorer
from pipeline.estimators.transformer import AutoencoderTransformer

__all__ = ["AutoencoderTransformer", "SemiSupervisedClassifier", "UnlabelledWarning", "scorer"]
