"""The section ``data``: which images an experiment reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipeline.config.plain import JsonObject
from pipeline.errors import require

FILE_ENDINGS = {".npz", ".csv", ".tsv", ".txt", ".gz"}  # of files that hold a data set; titles leave them out


@dataclass(frozen=True)
class DataConfig:
    """The images that an experiment reads.

    Attributes:
        dataset: A data set by name (mnist, digits, fashion_mnist, kmnist, emnist_letters, usps, svhn, cifar10); a
            reader of your files (numpy, folder, idx, csv); "torchvision" for any class of torchvision.datasets;
            "huggingface" for data sets of that library; a name that an installed package adds; or the import path
            "module:function" of your own loader.
        root: Folder for raw data files that are unpacked or downloaded.
        args: Keyword arguments of the loader. All readers take path, such as --data.args.path photos; folder also takes
            size, to resize pictures to; numpy and csv also take shape, for images in rows, and white, the value of
            white; torchvision takes name, such as SVHN, and the arguments of that class; huggingface takes a path or a
            name on the hub, and optionally the names of columns and splits. See docs/datasets.md.
        streaming: "auto" reads images into memory if they take at most half of what is available. Otherwise it leaves
            them in files (.npy, or pictures that are converted once into data.root) and reads a batch at a time.
            "always" and "never" force one or the other. The results are the same.
        labels: A CSV file with the label of each image, by the name of its file or its number, in place of the labels
            that the source has; images that are not in it have none. "" keeps the source's.
        groups: How to tell which images belong together (of one patient, one object, one burst of photographs), so that
            no group is in both the test and the training set, or in both the validation and the training part: a CSV
            file, with ":column" if its column is not called group; or a regular expression whose part in parentheses
            names the group in a file's name, such as "patient([0-9]+)". "" takes each image by itself.
    """

    dataset: str = "mnist"
    root: str = "data"
    args: JsonObject = field(default_factory=dict, hash=False)
    streaming: Literal["auto", "always", "never"] = "auto"
    labels: str = ""
    groups: str = ""

    def __post_init__(self) -> None:
        require(isinstance(self.args, dict), "data.args", self.args, "arguments, such as {path: photos}")
        object.__setattr__(self, "root", str(Path(self.root).expanduser()))

    @property
    def title(self) -> str:
        """The name of the data set in tables: where a reader read it, that of its file or folder.

        Examples:
            >>> DataConfig("mnist").title, DataConfig("csv", args={"path": "tables/birds.csv"}).title
            ('mnist', 'birds')
            >>> DataConfig("folder", args={"path": "pictures/birds.v2"}).title
            'birds.v2'
        """
        named = Path(str(self.args.get("path", self.args.get("name", ""))))
        while named.suffix.lower() in FILE_ENDINGS:
            named = named.with_suffix("")
        return named.name or self.dataset
