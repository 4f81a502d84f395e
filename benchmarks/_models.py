"""Model folders that every contender can open, the work a text means for them, and where the weights came from."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from _convert import bert_config, checkpoint, write_safetensors
from _texts import Corpus, Pool, made_up_words, words_of
from bge_onnx._repository.locate import locate
from bge_onnx.errors import WeightsError
from bge_onnx.testing import write_tiny_model
from bge_onnx.testing._folder import Kind

_EMBEDDER = "BAAI/bge-small-en-v1.5"
_WORDS = 20_000
_MAX_TOKENS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The size of a published model, for random weights of it."""

    kind: Kind
    layers: int
    hidden: int
    vocabulary: int
    max_tokens: int = _MAX_TOKENS


SHAPES = {
    "bge-base-en-v1.5": Shape(kind="embedder", layers=12, hidden=768, vocabulary=30_522),
    "bge-large-en-v1.5": Shape(kind="embedder", layers=24, hidden=1024, vocabulary=30_522),
    "bge-m3": Shape(kind="m3", layers=24, hidden=1024, vocabulary=250_002, max_tokens=8192),
    "bge-reranker-base": Shape(kind="reranker", layers=12, hidden=768, vocabulary=250_002),
    "bge-reranker-large": Shape(kind="reranker", layers=24, hidden=1024, vocabulary=250_002),
}

_BERT_TOKENIZER = {
    "tokenizer_class": "BertTokenizer",
    "model_max_length": _MAX_TOKENS,
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A folder for all contenders.

    Attributes:
        folder: Holds ONNX and safetensors, tokenizer and configuration.
        label: For tables, with "random weights" where they are.
        config: Its `config.json`.
    """

    folder: Path
    label: str
    config: Mapping[str, Any]

    def tokens(self, corpus: Corpus) -> list[int]:
        """True token counts of the inputs, special tokens included, after truncation."""
        tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(_longest(self.folder))
        return [len(encoding.ids) for encoding in tokenizer.encode_batch(list(corpus.inputs))]

    def operations(self, tokens: Sequence[int]) -> float:
        """Floating point operations of the encoder's matrix products for inputs of that many tokens, without padding.

        For `n` tokens a layer has `8 n h^2` for query, key, value and output, `4 n h i` for the feed-forward part and
        `4 n^2 h` for the two products of attention; `h` is the hidden and `i` the intermediate size.
        """
        hidden, wide = self.config["hidden_size"], self.config["intermediate_size"]
        per_layer = sum(n * (8 * hidden**2 + 4 * hidden * wide) + 4 * n**2 * hidden for n in tokens)
        return float(self.config["num_hidden_layers"] * per_layer)


def embedder(given: Path | None, work: Path) -> Model:
    """bge-small-en-v1.5: the given folder, or the package's own sources, or random weights of its shape."""
    if given is not None:
        return _given(given, work)
    try:
        return published(_EMBEDDER, work)
    except WeightsError as error:
        name = _EMBEDDER.partition("/")[2]
        label = f"random weights of {name}'s shape ({str(error).splitlines()[0]})"
        return _built(work / f"random-{name}", label, _random_embedder)


def published(name: str, work: Path) -> Model:
    """The embedding model of the catalogue with that hub id, from the package's own sources.

    Raises:
        WeightsError: No source delivers it.
    """
    short = name.partition("/")[2]
    return _built(work / short, short, partial(_fetch_embedder, name))


def reranker(given: Path | None, work: Path, pool: Pool, *, shape: str = "bge-reranker-base") -> Model:
    """The given folder, or random weights of that shape whose tokenizer knows the words of `pool`."""
    return _given(given, work) if given is not None else shaped(shape, work, pool)


def shaped(shape: str, work: Path, pool: Pool) -> Model:
    """Random weights of one of `SHAPES`; words of `pool` are one token each, as most are in real text."""
    words = words_of([*pool.queries, *pool.documents])[:_WORDS]
    folder = work / _digest(words) / f"random-{shape}"
    return _built(folder, f"random weights of {shape}'s shape", lambda unfinished: _random(unfinished, shape, words))


def _given(source: Path, work: Path) -> Model:
    files = sorted((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in source.rglob("*.*"))
    # The name of the folder stays, since a model may be recognised by it.
    folder = work / _digest(files) / source.resolve().name
    return _built(folder, source.resolve().name, lambda unfinished: _copy_snapshot(source, unfinished))


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]


def _built(folder: Path, label: str, build: Callable[[Path], None]) -> Model:
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        build(unfinished)
        complete(unfinished)
        unfinished.rename(folder)
    return Model(folder=folder, label=label, config=json.loads((folder / "config.json").read_text(encoding="utf-8")))


def _fetch_embedder(name: str, folder: Path) -> None:
    files = locate(name, task="embedding").files.paths
    _copy(files["model"], folder / "onnx" / "model.onnx")
    _copy(files["tokenizer"], folder / "tokenizer.json")


def _copy_snapshot(source: Path, folder: Path) -> None:
    """Copies a hub snapshot, or a folder with one loose ONNX file, its tokenizer and perhaps a config."""
    graphs = [source / "onnx" / "model.onnx", *sorted(source.glob("*.onnx"))]
    graph = next((path for path in graphs if path.exists()), None)
    if graph is None:
        raise FileNotFoundError(f"{source} holds no onnx/model.onnx; give the folder of a model")
    _copy(graph, folder / "onnx" / "model.onnx")
    for external in graph.parent.glob("*.onnx_data"):
        _copy(external, folder / "onnx" / external.name)
    for path in source.glob("*.json"):
        _copy(path, folder / path.name)


def _random_embedder(folder: Path) -> None:
    write_tiny_model(folder, layers=12, hidden=384, heads=12, intermediate=1536, vocabulary=30_522)


def _random(folder: Path, name: str, words: list[str]) -> None:
    shape = SHAPES[name]
    # Characters alone would fill the input with every passage, so a word is one token.
    sample = write_tiny_model(folder / "sample", kind=shape.kind, layers=1, hidden=4, heads=1, vocabulary=words)
    vocabulary = json.loads((sample / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    shutil.rmtree(sample)
    taken = {piece if isinstance(piece, str) else piece[0] for piece in vocabulary}
    made_up = (word.lower() if shape.kind == "embedder" else word for word in made_up_words(2 * shape.vocabulary))
    spare = (word for word in made_up if word not in taken and f"\u2581{word}" not in taken)
    filled = [*words, *itertools.islice(spare, max(0, shape.vocabulary - len(vocabulary)))]
    write_tiny_model(
        folder,
        kind=shape.kind,
        layers=shape.layers,
        hidden=shape.hidden,
        heads=shape.hidden // 64,
        intermediate=4 * shape.hidden,
        vocabulary=filled,
        max_tokens=shape.max_tokens,
        external_data=shape.layers > 12,
    )


def complete(folder: Path) -> None:
    """Adds what only some contenders read: the torch checkpoint and the modules of sentence-transformers."""
    tensors = checkpoint(folder / "onnx" / "model.onnx")
    write_safetensors(folder / "model.safetensors", tensors)
    if not (folder / "config.json").exists():
        _write(folder / "config.json", bert_config(tensors))
    if not (folder / "tokenizer_config.json").exists():
        _write(folder / "tokenizer_config.json", {**_BERT_TOKENIZER, "do_lower_case": _lower_case(folder)})
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if "ForSequenceClassification" not in config["architectures"][0]:
        _write_modules(folder, config["hidden_size"])


def _longest(folder: Path) -> int:
    """The most tokens of the model's inputs, special tokens included."""
    return int(json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))["model_max_length"])


def _write_modules(folder: Path, hidden: int) -> None:
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (path, kind) in enumerate(kinds.items())
    ]
    _write(folder / "modules.json", modules)
    # Not only sentence-transformers cuts texts there.
    limits = {"max_seq_length": _longest(folder), "do_lower_case": _lower_case(folder)}
    _write(folder / "sentence_bert_config.json", limits)
    pooling = {"word_embedding_dimension": hidden, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    _write(folder / "1_Pooling" / "config.json", pooling)
    (folder / "2_Normalize").mkdir(exist_ok=True)


def _lower_case(folder: Path) -> bool:
    """What the tokenizer does; torch libraries read it from configurations that the sources do not carry."""
    normalizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")).get("normalizer") or {}
    return bool(normalizer.get("lowercase", False))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
