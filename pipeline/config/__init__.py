"""The settings of an experiment as frozen dataclasses, one file a section.

Each field is explained where it stands, with its unit and its range; ``--help`` prints the same texts. The defaults are
those of ``configs/mnist.yaml``. A dataclass refuses a value that is out of range when it is made, so that nothing else
has to check it again.
"""

from pipeline.config.checks import check_seed
from pipeline.config.data import DataConfig
from pipeline.config.experiment import Experiment, from_dict, from_parsed
from pipeline.config.grid import GridConfig, StudyConfig
from pipeline.config.invariances import PRESETS, InvariancesConfig
from pipeline.config.plain import JsonObject, as_dict, merged
from pipeline.config.pretrain import DECODERS, ENCODERS, NetworkConfig, PretrainConfig
from pipeline.config.runtime import RuntimeConfig
from pipeline.config.train import SHARED, TrainConfig
from pipeline.config.unlabelled import GraphConfig, SelfTrainingConfig

__all__ = [
    "DECODERS",
    "ENCODERS",
    "PRESETS",
    "SHARED",
    "DataConfig",
    "Experiment",
    "GraphConfig",
    "GridConfig",
    "InvariancesConfig",
    "JsonObject",
    "NetworkConfig",
    "PretrainConfig",
    "RuntimeConfig",
    "SelfTrainingConfig",
    "StudyConfig",
    "TrainConfig",
    "as_dict",
    "check_seed",
    "from_dict",
    "from_parsed",
    "merged",
]
