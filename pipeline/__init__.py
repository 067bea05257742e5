"""Semi-supervised learning with few labels: pretrain, train, compare, report.

Importing the package is cheap: torch and Lightning are imported by the stages that need them.
"""

from pipeline import _torchvision_repair

__version__ = "0.1.0"

_torchvision_repair.install()
