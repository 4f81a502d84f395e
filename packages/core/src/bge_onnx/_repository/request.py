"""What a search asks every source for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bge_onnx._catalogue.spec import FileSpec, Precision, WeightsSpec
from bge_onnx._repository.choice import Choice, choose, head_role
from bge_onnx._repository.files import Form
from bge_onnx._repository.protocol import Listing
from bge_onnx._repository.sources import offline
from bge_onnx.errors import WeightsError

__all__ = ["Request"]


def _nothing(folder: Path, form: Form) -> None:
    """What is known beforehand need not be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One precision of one model.

    Attributes:
        name: What the model is called.
        weights: Its repository and revision, and its files where the catalogue names them.
        file: The user's own choice among them.
        trusted: Digests of graphs that go before a checkpoint.
        look: Called with a folder of all small files and the form of the weights, before any large file is fetched;
            whatever it raises ends the search.
        described: The small files that say what a model is are wanted, because nothing else says it.
        checkpoint: Only a checkpoint will do.
        only: These files and no others, the first of them in the role of the model.
        local_only: The network is not to be used.
    """

    name: str
    weights: WeightsSpec
    file: str | None = None
    trusted: frozenset[str] = frozenset()
    look: Callable[[Path, Form], None] = field(default=_nothing)
    described: bool = False
    checkpoint: bool = False
    only: tuple[str, ...] = ()
    local_only: bool = False

    @property
    def offline(self) -> str:
        """What forbids the network; "" if nothing does."""
        return "local_files_only is set" if self.local_only else "HF_HUB_OFFLINE is set" if offline() else ""

    @property
    def precision(self) -> Precision:
        """The precision as published."""
        return self.weights.precision

    @property
    def accepts(self) -> Precision | None:
        """The precision that the weights must have; None where the user chose the file."""
        return None if self.file is not None else self.precision

    def known(self, path: str) -> FileSpec | None:
        """What the catalogue says about a file."""
        return next((file for file in self.weights.files if file.path == path), None)

    def expected(self, path: str) -> str | None:
        """The digest that the catalogue knows of a file."""
        known = self.known(path)
        return None if known is None else known.sha256

    def choice(self, listing: Listing, place: str) -> Choice:
        """The files of a listing that are the model.

        Raises:
            WeightsError: If there are none.
        """
        paths = [file.path for file in listing.files]
        if self.only:
            return self._only(paths, place)
        if self.checkpoint:
            paths = [path for path in paths if not path.endswith(".onnx") and path != "adapter_config.json"]
        graphs = (file.path for file in listing.files if file.sha256 in self.trusted and file.path.endswith(".onnx"))
        named = [file.path for file in self.weights.files if file.role == "model"]
        return choose(
            paths,
            self.precision,
            file=self.file,
            short=self.name.rpartition("/")[2],
            place=place,
            trusted=next(graphs, None),
            prefer=[] if self.file is not None or self.checkpoint else named,
        )

    def _only(self, paths: list[str], place: str) -> Choice:
        missing = [path for path in self.only if path not in paths]
        if missing:
            raise WeightsError(f"{place} has no {', '.join(missing)}")
        heads = {head_role(path): path for path in self.only[1:]}
        return Choice(model=self.only[0], form="checkpoint", tokenizer=None, heads=heads, descriptions=())
