"""The site, built by `make docs`: offline, with warnings as errors."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import shutil
from importlib import metadata
from pathlib import Path
from textwrap import indent
from typing import cast

os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")  # read when Haystack is imported

from sphinx.application import Sphinx

# Autodoc imports with TYPE_CHECKING set, which LlamaIndex's circular imports do not survive the first time.
importlib.import_module("llama_index.core")

_DOCS = Path(__file__).resolve().parent
_ROOT = _DOCS.parent

project = "bge-onnx"
author = "The bge-onnx contributors"
project_copyright = "the bge-onnx contributors"
release = version = metadata.version("bge-onnx")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "_generate", "README.md"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
nitpicky = True
# The core's docstrings write code between single backticks.
default_role = "code"

# --- Markdown and notebooks -------------------------------------------------------------------------------------------

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
# Notebooks are shown with the outputs that they hold; `make test-notebooks` executes and compares them.
nb_execution_mode = "off"
nb_merge_streams = True
# Widgets would be fetched from elsewhere.
nb_ipywidgets_js: dict[str, dict[str, str]] = {}

# --- API --------------------------------------------------------------------------------------------------------------

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
autodoc_default_options = {"members": True, "undoc-members": False}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_preprocess_types = False
# Types are named as they are written; other projects' pages are on the network, and the core's own are where they are.
nitpick_ignore_regex = [("py:.*", ".*")]

# --- HTML -------------------------------------------------------------------------------------------------------------

html_theme = "furo"
highlight_language = "none"
html_title = "bge-onnx"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_last_updated_fmt = None
html_theme_options = {
    "top_of_page_buttons": [],
    "light_css_variables": {
        "font-stack": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', Ubuntu, 'DejaVu Sans', sans-serif",
        "font-stack--monospace": "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace",
    },
}
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True


def _copy(source: Path, target: Path, *suffixes: str) -> None:
    """Pages that live elsewhere in the repository; here stand copies, which git does not see."""
    shutil.rmtree(target, ignore_errors=True)
    for path in sorted(path for path in source.rglob("*") if path.suffix in suffixes):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)


_copy(_ROOT / "examples" / "notebooks", _DOCS / "tutorials", ".ipynb")
_copy(_ROOT / "benchmarks" / "results", _DOCS / "results", ".md", ".png", ".svg")


def _links(app: Sphinx, docname: str, source: list[str]) -> None:  # noqa: ARG001  Sphinx calls it so
    """Links into the repository, which are right where the page lies, become links of the site."""
    here = (_DOCS / docname).parent

    def moved(link: re.Match[str]) -> str:
        text, target, anchor = link.groups()
        path = (here / target).resolve()
        if path.is_relative_to(_ROOT / "benchmarks" / "results"):
            path = _DOCS / "results" / path.relative_to(_ROOT / "benchmarks" / "results")
        elif path == _ROOT / "CHANGELOG.md":
            path = _DOCS / "changelog.md"
        elif path.is_dir() or (path.is_file() and path.suffix == ".md" and not path.is_relative_to(_DOCS)):
            return text  # what the site does not hold
        return f"[{text}]({os.path.relpath(path, here)}{anchor or ''})"

    source[0] = re.sub(r"\[([^\]\n]+)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)", moved, source[0])


def _navigation(app: Sphinx, docname: str, source: list[str]) -> None:  # noqa: ARG001  Sphinx calls it so
    """Navigation tolerates absent pages: patterns become what they find, titles of what is not there are left out."""
    if docname not in ("index", "results"):
        return
    lines = source[0].splitlines()
    named = {re.sub(r".*<(.+)>", r"\1", line) for line in lines}
    for place, line in enumerate(lines):
        if re.fullmatch(r"[\w/*-]*\*[\w/*-]*", line):
            found = [path.relative_to(_DOCS) for path in _DOCS.glob(f"{line}.*") if path.suffix in source_suffix]
            pages = sorted(path.with_suffix("").as_posix() for path in found)
            lines[place] = "\n".join(page for page in pages if page not in named)
            named.update(pages)
        elif (titled := re.fullmatch(r"[^<>]+ <([\w/-]+)>", line)) and not (_DOCS / f"{titled[1]}.md").is_file():
            lines[place] = ""
    source[0] = "\n".join(lines)


def _readable(app: Sphinx, what: str, *rest: object) -> None:  # noqa: ARG001  Sphinx calls it so
    """What Sphinx would misread in our docstrings: programs as Markdown shows them, a colon in a property's line."""
    lines = cast("list[str]", rest[-1])
    text = re.sub(
        r"^( *)```(\w+)\n(.*?)^ *```$",
        lambda block: f"{block[1]}.. code-block:: {block[2]}\n\n{indent(block[3], '    ')}",
        "\n".join(lines),
        flags=re.DOTALL | re.MULTILINE,
    )
    # Napoleon takes the words before a colon in a property's first line for its type: an empty comment goes first.
    lines[:] = ["..", "", *text.splitlines()] if what == "property" else text.splitlines()


def _constructor(app: Sphinx, what: str, name: str, one: object, *rest: object) -> tuple[str, None] | None:
    """The signature of a component's constructor: Haystack's metaclass hides it behind (*args, **kwargs)."""
    if what != "class":
        return None
    app.env.current_document.autodoc_annotations.get(name, {}).pop("return", None)
    if not str(rest[1]).startswith("(*args"):
        return None
    parameters = list(inspect.signature(one.__init__).parameters.values())[1:]  # type: ignore[misc]
    plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    return str(inspect.Signature(plain)), None


def setup(app: Sphinx) -> None:
    """Register what is above."""
    app.connect("autodoc-process-docstring", _readable, priority=400)  # before Napoleon
    app.connect("autodoc-process-signature", _constructor, priority=600)  # after the annotations are noted
    app.connect("source-read", _links)
    app.connect("source-read", _navigation)
