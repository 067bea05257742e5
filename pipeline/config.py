"""An experiment as frozen dataclasses: what every setting means, its unit and its range.

The defaults are those of ``configs/mnist.yaml``. A value out of range is refused when the dataclass is made,
so that nothing further down has to check it again.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import PipelineError, require
from pipeline.modes import MODES, FitChanges, Mode, find_mode

# settings of train that no trial of a cell may change
SHARED = ("validation", "refit", "val_fraction", "folds", "trials")


def _check_plain(name: str, value: str) -> None:
    plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value) is not None
    require(plain, name, value, "a plain folder name: letters, digits, '.', '_' and '-'")


def check_seed(name: str, seed: int) -> None:
    """Refuse a seed that one of the random generators would not take.

    Raises:
        PipelineError: It is negative or does not fit into 32 bits.
    """
    require(0 <= seed < 2**32, name, seed, "a number from 0 to 2**32 - 1")


@dataclass(frozen=True)
class DataConfig:
    """Which images.

    Attributes:
        dataset: A data set by name (mnist, digits, fashion_mnist, kmnist, emnist_letters, usps, svhn, cifar10); a
            reader of your files (numpy, folder, idx, csv); "torchvision" for any class of torchvision.datasets;
            "huggingface" for data sets of that library; a name that an installed package adds; or the import path
            "module:function" of your own loader.
        root: Folder for raw data files that are unpacked or downloaded.
        args: Keyword arguments handed to the loader. Readers take path, such as --data.args.path photos; folder also
            size, to resize to; numpy and csv also shape, of images in rows, and white, the brightest value;
            torchvision takes name, such as SVHN, and the class's own arguments; huggingface a path or a name on the
            hub, and maybe the names of columns and splits. See docs/datasets.md.
        streaming: "auto" reads images into memory unless they would take more than half of what is available, and else
            leaves them in files (.npy, or pictures that are converted once into data.root) and reads a batch at a time;
            "always" and "never" force it. The results are the same.
        labels: A CSV file with the label of each image, by the name of its file or its number, in place of the labels
            that the source has; images that are not in it have none. "" keeps the source's.
        groups: What tells which images belong together (of one patient, one object, one burst of photographs), so that
            a group lies on one side of test set and training set, and of validation and training: a CSV file, with
            ":column" if its column is not called group; or a regular expression whose part in parentheses names the
            group in a file's name, such as "patient([0-9]+)". "" takes each image by itself.
    """

    dataset: str = "mnist"
    root: str = "data"
    args: dict[str, Any] = field(default_factory=dict, hash=False)
    streaming: Literal["auto", "always", "never"] = "auto"
    labels: str = ""
    groups: str = ""

    def __post_init__(self) -> None:
        require(isinstance(self.args, dict), "data.args", self.args, "arguments, such as {path: photos}")
        object.__setattr__(self, "root", str(Path(self.root).expanduser()))


# the built-in networks: import paths by name
ENCODERS = {
    "conv": "pipeline.models.encoders:ConvEncoder",
    "mlp": "pipeline.models.encoders:MLPEncoder",
    "patches": "pipeline.models.encoders:PatchEncoder",
    "torchvision": "pipeline.training.foreign:torchvision_encoder",
    "timm": "pipeline.training.foreign:timm_encoder",
}
DECODERS = {"conv": "pipeline.models.decoders:ConvDecoder", "mlp": "pipeline.models.decoders:MLPDecoder"}


@dataclass(frozen=True)
class NetworkConfig:
    """An encoder or a decoder.

    Attributes:
        name: "conv", "mlp", for an encoder also "patches", "torchvision" or "timm", a name that an installed package
            adds, or the import path "module:Class" of your own.
        widths: For "conv", channels of each stride-2 layer; for "mlp", units of each hidden layer; for "patches", units
            of each layer of the network on a patch. Their number is the depth. A decoder lists them from the latent
            towards the image.
        hidden: Units of fully connected layers between convolutions or patches and the latent; "mlp" has none.
        args: Further keyword arguments. Of "patches": patch, the side of a patch in pixels (4). Of "torchvision" and
            "timm": model, the network's name; pretrained, to begin pretraining with downloaded weights; size, the side
            that images are scaled to. Of a class of your own: what it takes.
    """

    name: str = "conv"
    widths: tuple[int, ...] = (16, 32, 64)
    hidden: tuple[int, ...] = (512,)
    args: dict[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name in ("widths", "hidden"):
            sizes = getattr(self, name)
            require(all(size > 0 for size in sizes), name, sizes, "positive layer sizes")


# amounts of the changes that leave the class as it is, for kinds of pictures
PRESETS: dict[str, dict[str, float]] = {
    "none": {},
    "digits": {"rotation": 20.0, "scale": 0.25, "shear": 0.3, "shift": 0.1, "elastic": 0.04},
    "objects": {
        "rotation": 10.0,
        "scale": 0.2,
        "shear": 0.1,
        "shift": 0.1,
        "elastic": 0.02,
        "flip": 0.5,
        "brightness": 0.2,
        "contrast": 0.2,
        "saturation": 0.3,
        "hue": 0.05,
    },
}


@dataclass(frozen=True)
class InvariancesConfig:
    """Which random changes leave an image's class as it is; each is drawn anew for each image.

    They are said once, and used with a strength of its own in pretraining, in the training of every classifier, and for
    the graph of neighbours. `check-dataset` shows images that are changed so. An amount that is null is the preset's.

    Attributes:
        preset: "digits", for characters: no mirror images, no colours; "objects", for pictures of things; "none".
        rotation: Largest rotation, in degrees.
        scale: Largest zoom of either axis, as the logarithm of the factor.
        shear: Largest shear, as a slope.
        shift: Largest shift, as a share of the image's side, 0 to 1.
        elastic: Standard deviation of a smooth displacement field, as a share of the image's side.
        flip: Probability of a mirror image, left to right; a strength does not change it.
        brightness: Largest change of the brightness, as a share of it, 0 to 1.
        contrast: Largest change of the contrast, as a share of it, 0 to 1.
        saturation: Largest change of the colours' saturation, as a share of it, 0 to 1.
        hue: Largest turn of the colours' hue, as a share of the colour circle, 0 to 1.
        erase: Largest side of a square that half of the images have filled with their mean colour, as a share of the
            image's side, 0 to 1.
        noise: Standard deviation of added Gaussian noise; intensities run from 0 to 1.

    Examples:
        >>> InvariancesConfig("digits", elastic=0.0).amounts(0.5)
        {'rotation': 10.0, 'scale': 0.125, 'shear': 0.15, 'shift': 0.05}
    """

    preset: Literal["digits", "objects", "none"] = "digits"
    rotation: float | None = None
    scale: float | None = None
    shear: float | None = None
    shift: float | None = None
    elastic: float | None = None
    flip: float | None = None
    brightness: float | None = None
    contrast: float | None = None
    saturation: float | None = None
    hue: float | None = None
    erase: float | None = None
    noise: float | None = None

    def __post_init__(self) -> None:
        for name, value in self.amounts().items():
            if name in ("rotation", "scale", "shear", "elastic", "noise"):
                require(0 <= value < math.inf, f"invariances.{name}", value, "a number of at least 0")
            else:
                require(0 <= value <= 1, f"invariances.{name}", value, "a share between 0 and 1")

    def amounts(self, strength: float = 1.0) -> dict[str, float]:
        """The amounts that are not 0, each times a strength, by their names."""
        given = {name: value for name, value in vars(self).items() if name != "preset" and value is not None}
        whole = PRESETS[self.preset] | given
        scaled = {name: value if name == "flip" else value * strength for name, value in whole.items()}
        return {name: value for name, value in scaled.items() if value} if strength else {}


@dataclass(frozen=True)
class PretrainConfig:
    """How the encoder is pretrained on images without labels: the settings that all methods have.

    Attributes:
        method: A built-in method by name (autoencoder, masked, none, vae, views), a name that an installed package
            adds, or the import path "module:OBJECT" of your own.
        args: Settings that this method alone has, such as {beta: 4} of a vae; listed at the end of --help. One that the
            method does not have is refused.
        latent: Width of the bottleneck.
        encoder: Image to latent.
        decoder: Latent to image; not read by a method that draws no images.
        corruption: Strength of the invariances by which the input is changed while the target stays clean (a denoising
            autoencoder); 0 for a plain autoencoder.
        epochs: Passes over the unlabelled images.
        batch_size: Images a step, in all processes together.
        learning_rate: Peak of the one-cycle schedule (AdamW).
        weight_decay: AdamW's.
        holdout: Training images left out of pretraining, on which it is measured; null leaves out 2 %, but at least 32
            and at most 1000, and never more than a fifth.
        seed: Of initial weights, batches, corruption and all else that is random. One encoder serves all draws.
    """

    method: str = "autoencoder"
    args: dict[str, Any] = field(default_factory=dict, hash=False)
    latent: int = 128
    encoder: NetworkConfig = field(default_factory=NetworkConfig)
    decoder: NetworkConfig = field(default_factory=lambda: NetworkConfig("mlp", (512,), ()))
    corruption: float = 1.0
    epochs: int = 16
    batch_size: int = 256
    learning_rate: float = 0.005
    weight_decay: float = 0.0001
    holdout: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.latent > 0, "pretrain.latent", self.latent, "a positive width")
        require(self.epochs > 0, "pretrain.epochs", self.epochs, "at least 1")
        require(self.batch_size > 1, "pretrain.batch_size", self.batch_size, "at least 2 images")
        require(self.learning_rate > 0, "pretrain.learning_rate", self.learning_rate, "a positive rate")
        require(0 <= self.corruption < math.inf, "pretrain.corruption", self.corruption, "a strength of at least 0")
        require(self.weight_decay >= 0, "pretrain.weight_decay", self.weight_decay, "at least 0")
        held_out = self.holdout
        require(held_out is None or held_out >= 0, "pretrain.holdout", held_out, "at least 0 images, or null")
        check_seed("pretrain.seed", self.seed)


@dataclass(frozen=True)
class GraphConfig:
    """How labels spread over the images without labels; read where the mode spreads labels.

    Attributes:
        neighbours: Nearest neighbours, by the distance of embeddings, that each image is joined with.
        alpha: Share of its scores that an image takes from its neighbours, the rest from its own label if it has one;
            the nearer to 1, the farther labels reach (Zhou et al. 2004).
        head_widths: Hidden layers of the head that learns the spread labels; with all images to learn from it can have
            some even where the labels are few.
        batch_size: Images a step of that.
        views: Augmented copies of each image, the mean of whose embeddings takes the place of its own in the graph; 0
            leaves it at its own. Each takes as long as embedding all images does.
        view_strength: Strength of the invariances in these copies: far less than in pretraining.
    """

    neighbours: int = 10
    alpha: float = 0.99
    head_widths: tuple[int, ...] = (256,)
    batch_size: int = 256
    views: int = 0
    view_strength: float = 0.25

    def __post_init__(self) -> None:
        require(self.views >= 0, "train.graph.views", self.views, "0 or a number of copies")
        require(self.view_strength >= 0, "train.graph.view_strength", self.view_strength, "a strength of at least 0")
        require(self.neighbours > 0, "train.graph.neighbours", self.neighbours, "at least 1")
        require(0 < self.alpha < 1, "train.graph.alpha", self.alpha, "a share between 0 and 1")
        require(all(w > 0 for w in self.head_widths), "train.graph.head_widths", self.head_widths, "positive sizes")
        require(self.batch_size > 1, "train.graph.batch_size", self.batch_size, "at least 2 images")


@dataclass(frozen=True)
class ConsistencyConfig:
    """How a classifier learns from images without labels by pseudo-labels; read where the mode has consistency.

    Attributes:
        weak: Strength of the invariances in the images that the EMA gives pseudo-labels; 0 shows it the images as they
            are. What the network learns from is augmented as train.augment says, as in every mode.
        threshold: Least probability of the EMA's class for an image to be learnt from; not read where labels are
            spread: there an image is learnt from where both name the same class.
        weight: Weight of these images' cross-entropy beside that of the labelled ones.
        batch_size: Images a step, beside train.batch_size labelled ones.
    """

    weak: float = 0.0
    threshold: float = 0.95
    weight: float = 1.0
    batch_size: int = 128

    def __post_init__(self) -> None:
        require(self.weak >= 0, "train.consistency.weak", self.weak, "a strength of at least 0")
        require(0 <= self.threshold < 1, "train.consistency.threshold", self.threshold, "a probability below 1")
        require(0 <= self.weight < math.inf, "train.consistency.weight", self.weight, "a number of at least 0")
        require(self.batch_size > 1, "train.consistency.batch_size", self.batch_size, "at least 2 images")


@dataclass(frozen=True)
class TrainConfig:
    """How a classifier is trained on the labelled subset: one recipe for every mode and every data set.

    A head on a frozen encoder is fitted to convergence, once for each of the strengths in l2. Everything else is
    trained by AdamW in steps, with a linear warm-up and a cosine decay of the learning rate; the exponential moving
    average (EMA) of the weights is measured at even intervals. Kept is the last measurement whose validation loss is
    within one standard error of the lowest one, so that chance among a few validation images ends no training.

    Attributes:
        validation: How the kept measurement is chosen within the label budget: "holdout" trains on a part of the labels
            and measures the rest; "kfold" leaves each fold out of one training, chooses where these trainings do best
            together, and trains again on all labels for as many steps.
        refit: Whether holdout, too, trains again on all labels, for as many steps, which takes twice as long.
        val_fraction: Share of the label budget that holdout leaves out; the rest is trained on.
        folds: Number of folds of kfold.
        head_widths: Hidden layers of the head; none makes it linear. Where labels are spread, graph has its own.
        batch_size: Labelled images a step.
        length: Steps of a training on labels alone, for each square root of a label in the budget: 500 steps with 100
            labels, 1581 with 1000.
        unlabelled_steps: Steps of a training that learns from images without labels, too: in modes that spread labels
            or have consistency.
        evaluations: Number of times that a training is measured, at even intervals of steps.
        minimum: Share of the steps before which no training is stopped.
        patience: Share of the steps after which a training is stopped if in all of them the validation loss stayed more
            than a standard error above its lowest value and E_in did not fall; 0 never stops.
        warmup: Steps in which the learning rate rises, at most half of all.
        weight_decay: Weight decay of AdamW, for encoder and head.
        label_smoothing: Share of a label that is spread evenly over all classes, 0 to 1; labels that were spread over a
            graph have their own doubts.
        ema_decay: Share of its value that the EMA of the weights keeps at each step; 0 keeps the weights themselves.
        l2: Strengths of the L2 penalty that a head on a frozen encoder is fitted with, in units of the cross-entropy of
            one label; the validation labels choose among them.
        augment: Strength of the invariances in the images that an encoder is trained on, the same in every mode; 0 for
            none. The embeddings that a head alone is trained on are those of clean images.
        clean_fraction: Share of these images that stay as they are. A network that was trained on augmented images
            alone errs more on clean ones than on slightly augmented ones: its BatchNorm knows no clean ones.
        modes: By a mode's name, the settings in which it differs from its defaults, such as
            {finetune: {encoder_lr: 0.001}}; what is not named stays as the mode has it. The settings are encoder_lr,
            head_lr, head_first and layer_decay, which pipeline.modes.FitConfig explains.
        graph: How labels spread.
        consistency: How modes with consistency learn from images without labels.
        trials: By the mode's name, other settings of this section that each cell tries beside those above, such as
            [{weight_decay: 0.1}, {modes: {finetune: {encoder_lr: 0.0003}}}]. It keeps those with which the error on its
            own validation labels is least, or, where several err as seldom, their loss; so the choice is paid for out
            of the label budget. A grid wants as many of each of its modes.
    """

    validation: Literal["holdout", "kfold"] = "holdout"
    refit: bool = False
    val_fraction: float = 0.2
    folds: int = 5
    head_widths: tuple[int, ...] = ()
    batch_size: int = 64
    length: float = 50.0
    unlabelled_steps: int = 2000
    evaluations: int = 20
    minimum: float = 0.4
    patience: float = 0.4
    warmup: int = 50
    weight_decay: float = 1.0
    label_smoothing: float = 0.1
    ema_decay: float = 0.99
    l2: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0, 100.0)
    augment: float = 1.0
    clean_fraction: float = 0.25
    modes: dict[str, FitChanges] = field(default_factory=dict, hash=False)
    graph: GraphConfig = field(default_factory=GraphConfig)
    consistency: ConsistencyConfig = field(default_factory=ConsistencyConfig)
    trials: dict[str, list[dict[str, Any]]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        require(0 < self.val_fraction < 1, "train.val_fraction", self.val_fraction, "a share between 0 and 1")
        require(self.folds > 1, "train.folds", self.folds, "at least 2")
        least = 4 if self.validation == "kfold" else 2  # of which a fold learns from half, and BatchNorm from two
        require(self.batch_size >= least, "train.batch_size", self.batch_size, f"at least {least} images")
        require(all(w > 0 for w in self.head_widths), "train.head_widths", self.head_widths, "positive sizes")
        require(0 < self.length < math.inf, "train.length", self.length, "a positive number of steps")
        for name in ("unlabelled_steps", "evaluations"):
            value = getattr(self, name)
            require(value > 0, f"train.{name}", value, "at least 1")
        for name in ("warmup", "weight_decay", "augment"):
            value = getattr(self, name)
            require(0 <= value < math.inf, f"train.{name}", value, "at least 0")
        for name in ("minimum", "patience"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"train.{name}", value, "a share of the steps, 0 to 1")
        for name in ("label_smoothing", "ema_decay", "clean_fraction"):
            value = getattr(self, name)
            require(0 <= value < 1, f"train.{name}", value, "a share of at least 0, below 1")
        require(len(self.l2) > 0, "train.l2", self.l2, "at least one strength")
        require(all(0 < value < math.inf for value in self.l2), "train.l2", self.l2, "positive strengths")
        for name in self.modes:
            self.mode(name)
        for name in self.trials:
            require(name in MODES, "train.trials", name, f"a mode: {', '.join(MODES)}")
            self.candidates(name)

    def mode(self, name: str) -> Mode:
        """The mode of this name with the settings that this section gives it.

        Raises:
            PipelineError: If there is no such mode, or a setting is impossible for it.
        """
        try:
            mode = find_mode(name).changed(self.modes.get(name, FitChanges()))
        except PipelineError as error:
            raise PipelineError(f"train.modes.{name}: {error}" if name in self.modes else str(error)) from error
        if mode.consistency:
            expected = f"a share above 0 for mode {name}, whose EMA gives the pseudo-labels"
            require(self.ema_decay > 0, "train.ema_decay", self.ema_decay, expected)
        return mode

    def candidates(self, mode: str) -> tuple[TrainConfig, ...]:
        """The settings that a cell of the mode chooses among: these, and these with the changes of each trial.

        Raises:
            PipelineError: If a trial changes what it may not, or a setting to what it cannot be.
        """
        if not self.trials.get(mode):
            return (replace(self, trials={}) if self.trials else self,)
        return _candidates(self, mode)


@functools.lru_cache(maxsize=64)  # a cell's identity is asked for often, and checking settings takes a while
def _candidates(train: TrainConfig, mode: str) -> tuple[TrainConfig, ...]:
    own = replace(train, trials={})
    candidates = [own]
    for number, changes in enumerate(train.trials.get(mode, ()), 1):
        where = f"train.trials.{mode}, {number} of {len(train.trials[mode])}"
        for name in SHARED:
            require(name not in changes, f"{where}: {name}", changes.get(name), "to be the same for all trials")
        changed = from_dict({"train": merged(as_dict(own), changes)}, where).train
        for name in ("neighbours", "views", "view_strength"):
            value = getattr(changed.graph, name)
            same = value == getattr(train.graph, name)
            require(same, f"{where}: graph.{name}", value, "the graph to be the same for all trials")
        candidates.append(changed)
    return tuple(candidates)


@dataclass(frozen=True)
class GridConfig:
    """The cells that compare trains: modes x labels x draws x encoders.

    Attributes:
        modes: Modes by name: those that `train --help` lists, those that installed packages add, and import paths
            "module:OBJECT" of your own.
        labels: Label budgets, validation included.
        sampling: How a labelled subset is drawn: "stratified" takes the classes in turn, for which everybody's labels
            have to be known; "random" takes any image, as a user would who has labelled nothing yet: a class that it
            misses is counted as errors.
        draws: Random draws of the labelled subset, seeds 0, 1, ...; every mode sees the same. Six is the least with
            which the exact paired test can fall below p = 0.05; eight, with which six differences can stand together.
        encoders: Encoders that are pretrained, with the seeds pretrain.seed, pretrain.seed + 1, ...; each mode that
            starts from one is trained with each of them on each draw. With one, the intervals do not say how much
            another pretraining would change.
        margin: Difference in E_out, in percentage points, up to which two modes count as equally good.
        ablation: Train finetune and scratch once more, with an encoder of their own, as if no invariances were known,
            so that the report can tell what these bought from what images without labels did. It takes one more
            pretraining.
        jobs: Cells trained at a time on this machine; 0 takes all cores. On a cluster each worker trains one.
        baselines: Train the classical baselines on the same draws.
    """

    modes: tuple[str, ...] = ("frozen", "finetune", "scratch")
    labels: tuple[int, ...] = (100, 1000)
    sampling: Literal["stratified", "random"] = "stratified"
    draws: int = 8
    encoders: int = 1
    margin: float = 0.1
    ablation: bool = False
    jobs: int = 0
    baselines: bool = True

    def __post_init__(self) -> None:
        require(len(self.modes) > 0, "grid.modes", self.modes, "at least one mode")
        require(len(set(self.modes)) == len(self.modes), "grid.modes", self.modes, "each mode once")
        for mode in self.modes:
            require(mode in MODES, "grid.modes", mode, f"one of {', '.join(MODES)}, or the import path of your own")
        require(len(self.labels) > 0, "grid.labels", self.labels, "at least one budget")
        require(all(n > 0 for n in self.labels), "grid.labels", self.labels, "positive budgets")
        require(len(set(self.labels)) == len(self.labels), "grid.labels", self.labels, "each budget once")
        require(self.draws > 0, "grid.draws", self.draws, "at least 1")
        require(self.encoders > 0, "grid.encoders", self.encoders, "at least 1")
        require(0 <= self.margin <= 100, "grid.margin", self.margin, "percentage points, 0 to 100")
        require(self.jobs >= 0, "grid.jobs", self.jobs, "0 (all cores) or a number of processes")


@dataclass(frozen=True)
class StudyConfig:
    """What stage study compares beyond the grid; no other stage reads it.

    Attributes:
        name: A study by name, see the stage's help; a name that an installed package adds; or the import path
            "module:object" of your own.
        arms: Variants that are trained in place of the study's own: by the arm's name, the settings in which it differs
            from the rest of the experiment, such as {pretrain: {latent: 2}}. Every arm is pretrained once for each draw
            of the grid, with its seed.
    """

    name: str = ""
    arms: dict[str, dict[str, Any]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for arm in self.arms:
            _check_plain("study.arms", arm)


@dataclass(frozen=True)
class RuntimeConfig:
    """Where and how it runs; the results are comparable across these settings, not bit-identical.

    Attributes:
        accelerator: "auto", "cpu", "gpu", "mps": as Lightning understands it.
        precision: "auto" takes bfloat16 where the hardware computes it natively; "32" or "bf16" force one.
        compile: Compile the steps of pretraining with torch.compile; needs a C++ compiler. The first epoch takes some
            time longer, so it pays in long trainings only; docs/performance.md says from when on.
        threads: CPU threads of pretraining; 0 takes all cores. A cell always uses one, so that a cell trained
            alone equals the same cell trained among others.
        backend: Where the cells of a grid and the points of a study run: "processes" of this machine, or the workers of
            a "dask" or "ray" cluster, which need the extra of that name and the same file system.
        address: Of a cluster that is there, such as tcp://host:8786 (Dask) or host:6379 (Ray); empty: one on this
            machine, of grid.jobs workers, which ends with the command.
        devices: Processes that pretrain together on each machine, a GPU each if it has them. A cell always has one.
        nodes: Machines that pretrain together; torchrun or SLURM has to start the command on each of them.
        progress: Show progress bars; they are never shown where the output is not a terminal.
        tensorboard: Log the curves of pretraining for TensorBoard, too, below the experiment's folder; needs the extra
            [tensorboard]. history.csv is written anyway.
    """

    accelerator: str = "auto"
    precision: Literal["auto", "32", "bf16"] = "auto"
    compile: bool = False
    threads: int = 0
    backend: Literal["processes", "dask", "ray"] = "processes"
    address: str = ""
    devices: int = 1
    nodes: int = 1
    progress: bool = True
    tensorboard: bool = False

    def __post_init__(self) -> None:
        require(self.threads >= 0, "runtime.threads", self.threads, "0 (all cores) or a number of threads")
        for name in ("devices", "nodes"):
            value = getattr(self, name)
            require(value > 0, f"runtime.{name}", value, "at least 1")
        local = self.backend == "processes"
        require(not (self.address and local), "runtime.address", self.address, "none; runtime.backend is processes")

    @property
    def processes(self) -> int:
        """How many pretrain together."""
        return self.devices * self.nodes

    @property
    def alone(self) -> RuntimeConfig:
        """The same for a single process."""
        return replace(self, devices=1, nodes=1)


@dataclass(frozen=True)
class Experiment:
    """One experiment; everything it makes lies in runs/<name>/.

    Attributes:
        name: Folder name below runs.
        runs: Folder of all experiments.
        data: Which images.
        invariances: Which changes leave an image's class as it is.
        pretrain: How the encoder is pretrained.
        train: How classifiers are trained.
        grid: What compare trains.
        study: What study compares.
        runtime: Where and how it runs.
    """

    name: str = "mnist"
    runs: str = "runs"
    data: DataConfig = field(default_factory=DataConfig)
    invariances: InvariancesConfig = field(default_factory=InvariancesConfig)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    grid: GridConfig = field(default_factory=GridConfig)
    study: StudyConfig = field(default_factory=StudyConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    def __post_init__(self) -> None:
        _check_plain("name", self.name)
        object.__setattr__(self, "runs", str(Path(self.runs).expanduser()))

    @property
    def folder(self) -> Path:
        """The experiment's own folder."""
        return Path(self.runs) / self.name

    @property
    def by_encoder(self) -> tuple[Experiment, ...]:
        """The experiment once for each encoder of its grid: with the seed that this one is pretrained with."""
        seeds = range(self.pretrain.seed, self.pretrain.seed + self.grid.encoders)
        return tuple(replace(self, pretrain=replace(self.pretrain, seed=seed)) for seed in seeds)

    @property
    def without_invariances(self) -> Experiment:
        """The experiment of somebody who does not know which changes leave a class as it is."""
        return replace(self, invariances=InvariancesConfig("none"))


def from_parsed(chosen: Any) -> Experiment:
    """The experiment of a parser's namespace, which may hold a stage's own options beside the settings."""
    return Experiment(**{field.name: chosen[field.name] for field in dataclasses.fields(Experiment)})


def from_dict(settings: dict[str, Any], where: str) -> Experiment:
    """The experiment of plain JSON types, checked like those of a file: the inverse of ``as_dict``.

    Raises:
        PipelineError: A setting is unknown or not allowed; the message starts with ``where``.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Experiment)
    try:
        return from_parsed(parser.instantiate(parser.parse_object(settings)))
    except (ArgumentError, PipelineError) as error:
        raise PipelineError(f"{where}: {error}") from error


def merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Settings with changes written over them, section by section."""
    found = dict(settings)
    for name, change in changes.items():
        own = found.get(name)
        found[name] = merged(own, change) if isinstance(own, dict) and isinstance(change, dict) else change
    return found


def as_dict(config: Any) -> dict[str, Any]:
    """The settings as plain JSON types, tuples as lists."""
    return {key: _plain(value) for key, value in dataclasses.asdict(config).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
