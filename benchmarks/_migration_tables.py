"""Stored results of `migration.py` -> the tables of the READMEs, between markers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

from _migration_peers import EMBEDDERS, RERANKERS, Peer

Row: TypeAlias = Mapping[str, Any]
Results: TypeAlias = Mapping[str, Any]

_FOLDER = Path("benchmarks", "results", "migration")
_READMES = {
    "none": Path("docs", "guides", "migration.md"),
    "langchain": Path("packages", "langchain", "README.md"),
    "llamaindex": Path("packages", "llamaindex", "README.md"),
    "haystack": Path("packages", "haystack", "README.md"),
}
_BLOCK = re.compile(r"(<!-- migration: (\w+) -->\n).*?(\n<!-- /migration -->)", re.DOTALL)
_GIVEN = {"name": "", "folder": ", a local folder", "bare folder": ", a folder without `modules.json`"}
_LANGUAGES = {"BAAI/bge-small-en-v1.5": "English", "BAAI/bge-small-zh-v1.5": "Chinese"}
_INSTRUCTIONS = {
    "BAAI/bge-small-en-v1.5": "Represent this sentence for searching relevant passages: ",
    "BAAI/bge-small-zh-v1.5": "为这个句子生成表示以用于检索相关文章：",
}
_PREFIXES = {
    "": "no instruction",
    "Represent this question for searching relevant passages: ": '"question" instead of "sentence" in the instruction',
    "Represent this sentence for searching relevant passages: ": "the English instruction",
    "为这个句子生成表示以用于检索相关文章：": "the Chinese instruction",
}


def load(root: Path) -> Results:
    """The stored results."""
    results: Results = json.loads((root / _FOLDER / "results.json").read_text(encoding="utf-8"))
    return results


def store(root: Path, results: Results) -> None:
    """Keep the results, as JSON and as one table with every figure."""
    folder = root / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(results, indent=1, ensure_ascii=False)
    (folder / "results.json").write_text(content + "\n", encoding="utf-8")
    (folder / "results.md").write_text(_whole(results), encoding="utf-8")


def write_readmes(root: Path, results: Results) -> Iterator[Path]:
    """Bring the tables of the READMEs in line with the results; yields the files that were out of line."""
    for path in _READMES.values():
        before = (root / path).read_text(encoding="utf-8")
        after = in_line(before, results)
        if after != before:
            (root / path).write_text(after, encoding="utf-8")
            yield path


def in_line(text: str, results: Results) -> str:
    """A README whose tables are those of the results."""
    return _BLOCK.sub(lambda block: block[1] + tables(results, block[2]) + block[3], text)


def tables(results: Results, which: str) -> str:
    """The tables for one framework, or for "all"."""
    embedders = [peer for peer in EMBEDDERS if which in ("all", peer.framework)]
    rerankers = [peer for peer in RERANKERS if which in ("all", peer.framework)]
    lines = ["| from | to | document vectors | query vectors | what to do |", "|---|---|---|---|---|"]
    lines += [line for peer in embedders for line in _embedder_lines(peer, results, which)]
    lines += ["", "| reranker | to | its score | here |", "|---|---|---|---|"]
    lines += [_reranker_line(peer, results, which) for peer in rerankers]
    return "\n".join(lines)


def _embedder_lines(peer: Peer, results: Results, which: str) -> Iterator[str]:
    rows = [row for row in results["embedders"] if row["peer"] == peer.key]
    for given, group in groupby(rows_by_given(rows), key=lambda row: row["given"]):
        found = list(group)
        yield _line(
            _name(peer, found[0], which) + _GIVEN[given],
            peer.successor,
            _told(found, "documents"),
            _told(found, "queries"),
            f"{_advice(found)} {peer.note if given == peer.given[0] else ''}".strip(),
        )


def rows_by_given(rows: Sequence[Row]) -> list[Row]:
    """Rows of the same way to name the model side by side, in their order."""
    order = list(dict.fromkeys(row["given"] for row in rows))
    return sorted(rows, key=lambda row: order.index(row["given"]))


def _name(peer: Peer, row: Row, which: str) -> str:
    library = {"langchain": "LangChain ", "llamaindex": "LlamaIndex ", "haystack": "Haystack ", "none": ""}
    framework = library[peer.framework] if which == "all" else ""
    return f"{framework}{peer.label} ({row['distribution']} {row['version']})"


def _told(rows: Sequence[Row], role: str) -> str:
    """What happens to the vectors, once for both languages if it is the same."""
    said = {_LANGUAGES[row["model"]]: _sentence(row, role) for row in rows}
    if len({_plain(sentence) for sentence in said.values()}) == 1:
        return _sentence(max(rows, key=lambda row: _distance(row[role])), role)
    return "; ".join(f"{language}: {sentence}" for language, sentence in said.items())


def _distance(figures: Row) -> float:
    return max(float(figures["largest_difference"]), 1 - float(figures["min_cosine"]))


def _plain(sentence: str) -> str:
    return re.sub(r"[\d.e-]+", "", sentence)


def _sentence(row: Row, role: str) -> str:
    figures = row[role]
    recipe = figures["recipe"]
    if recipe is None:
        return f"change: more than one recipe (cosine {figures['min_cosine']:.3f} at worst)"
    if figures["verdict"] == "keep" and recipe["length"] == "one":
        return f"stay, within {figures['largest_difference']:.0e}"
    if figures["verdict"] == "keep":
        return "keep their direction; their length was not 1"
    reasons = []
    if recipe["pooling"] == "mean":
        reasons.append("the mean of the tokens instead of the first one")
    if recipe["prefix"] != (_INSTRUCTIONS[row["model"]] if role == "queries" else ""):
        reasons.append(_PREFIXES.get(recipe["prefix"], repr(recipe["prefix"])))
    if recipe["length"] != "one":
        reasons.append("a length that was not 1")
    return f"change: they had {', '.join(reasons)} (cosine {figures['min_cosine']:.3f} at worst)"


def _advice(rows: Sequence[Row]) -> str:
    documents = {row["documents"]["verdict"] for row in rows}
    queries = {row["queries"]["verdict"] for row in rows}
    if documents != {"keep"}:
        return "Embed the documents anew."
    if queries == {"keep"}:
        return "Keep the index; nothing changes."
    return "Keep the index; drop cached query vectors."


def _reranker_line(peer: Peer, results: Results, which: str) -> str:
    (row,) = (row for row in results["rerankers"] if row["peer"] == peer.key)
    scale = "logit" if row["scale"] == "logit" else "0 to 1, the sigmoid of the logit"
    here = [_SCALES[row["scale"], peer.framework == "none"]]
    if row["long_pairs"] > 1e-3 > row["long_pairs_longest_first"]:
        here.append('Pairs over the limit are cut differently; `truncation="longest_first"` cuts as before.')
    elif row["long_pairs"] > 1e-3:
        here.append("Pairs over the limit are cut differently.")
    else:
        here.append("Pairs over the limit are cut alike.")
    same = f"{scale} (ours within {row['largest_difference']:.0e})"
    return _line(_name(peer, row, which), peer.successor, same, " ".join([*here, peer.note]).strip())


_SCALES = {
    ("logit", True): "The same from `score`; `rank` orders by it and adds its sigmoid.",
    ("logit", False): "From 0 to 1, its sigmoid: set thresholds anew. The order is the same.",
    ("0 to 1", True): "`rank` gives the same scale, `score` the logit.",
    ("0 to 1", False): "The same scale.",
}


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _whole(results: Results) -> str:
    lines = [
        "# Other libraries' classes beside ours",
        "",
        "`python benchmarks/migration.py`: each class with its defaults, on the same fp32 weights, "
        f"{results['documents']} documents and {results['queries']} queries. Differences are those of single "
        f"components, cosines the lowest; rerankers have {results['reranker']}. FastEmbed takes its models from "
        "repositories of its own, which were not at hand: here it read the file of the others.",
        "",
        "| class | model | documents: difference, cosine | queries: difference, cosine | what `check_index` says |",
        "|---|---|---|---|---|",
    ]
    peers = {peer.key: peer for peer in EMBEDDERS}
    for row in results["embedders"]:
        cells = [
            f"{row[role]['largest_difference']:.1e}, {row[role]['min_cosine']:.6f}" for role in ("documents", "queries")
        ]
        name = _name(peers[row["peer"]], row, "all") + _GIVEN[row["given"]]
        said = "<br>".join(row[role]["report"].partition(". ")[0] for role in ("documents", "queries"))
        lines.append(_line(name, row["model"].rpartition("/")[2], *cells, said))
    lines += [
        "",
        "| reranker | scale | largest difference of logits | long pairs | long pairs, cut longest first |",
        "|---|---|---|---|---|",
    ]
    rankers = {peer.key: peer for peer in RERANKERS}
    for row in results["rerankers"]:
        figures = [f"{row[key]:.1e}" for key in ("largest_difference", "long_pairs", "long_pairs_longest_first")]
        lines.append(_line(_name(rankers[row["peer"]], row, "all"), row["scale"], *figures))
    return "\n".join(lines) + "\n"
