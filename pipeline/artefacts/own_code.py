"""The source of code of the user's own that a result is made with, as part of what the result is recognised by.

Each function gives, by setting, the SHA-256 of each source file (see ``source_code``); what is built in is left out.
"""

from __future__ import annotations

from pipeline import methods, modes
from pipeline.config import DECODERS, ENCODERS, PretrainConfig
from pipeline.modes import Mode
from pipeline.plugins import source_of

Sources = dict[str, dict[str, str]]


def of_encoder(config: PretrainConfig) -> Sources:
    """Return the source of the encoder, and of the method that puts it into a backbone."""
    name = "pretrain.encoder.name"
    found = _named(name, source_of(name, config.encoder.name, ENCODERS, "pipeline.encoders"))
    method = source_of("pretrain.method", config.method, methods.BUILT_IN, methods.ENTRY_POINTS)
    return found | _named("pretrain.method", method)


def of_pretraining(config: PretrainConfig) -> Sources:
    """Return the source of encoder and method, and of the decoder where the method has one."""
    found = of_encoder(config)
    if methods.find_method(config.method).decodes:
        name = "pretrain.decoder.name"
        found |= _named(name, source_of(name, config.decoder.name, DECODERS, "pipeline.decoders"))
    return found


def of_mode(name: str, mode: Mode) -> Sources:
    """Return the source of the mode and of its classifier."""
    found: dict[str, str] = {}
    if name not in modes.BUILT_IN:
        found |= source_of("mode", name, {}, modes.ENTRY_POINTS)
    if mode.classifier:
        found |= source_of("mode", mode.classifier, {}, modes.ENTRY_POINTS)
    return _named("mode", found)


def _named(setting: str, source: dict[str, str]) -> Sources:
    return {setting: source} if source else {}
