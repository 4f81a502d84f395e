"""The site, built by `make docs`: offline, with warnings as errors."""

from __future__ import annotations

import os
import re
import shutil
from importlib import metadata
from pathlib import Path
from textwrap import indent

os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")  # read when Haystack is imported

# Imported here because autodoc would do so with TYPE_CHECKING set, which LlamaIndex's circular imports do not survive.
import haystack_integrations.components.embedders.bge
import llama_index.embeddings.bge
from sphinx.application import Sphinx

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

# --- Markdown and notebooks ---------------------------------------------------------------------------------------------

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
# Notebooks are shown with the outputs that they hold; a test executes them.
nb_execution_mode = "off"
nb_merge_streams = True
# Widgets would be fetched from elsewhere.
nb_ipywidgets_js: dict[str, dict[str, str]] = {}

# --- API ----------------------------------------------------------------------------------------------------------------

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
autodoc_default_options = {"members": True, "undoc-members": False, "show-inheritance": False}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_preprocess_types = False
# Types are named as they are written; other projects' pages are on the network, and the core's own are where they are.
nitpick_ignore_regex = [("py:.*", ".*")]

# --- HTML ---------------------------------------------------------------------------------------------------------------

html_theme = "furo"
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


def _copy_notebooks() -> None:
    """The tutorials live beside the other examples; here stand copies, which git does not see."""
    target = _DOCS / "tutorials"
    for old in target.glob("*.ipynb"):
        old.unlink()
    for notebook in sorted((_ROOT / "examples" / "notebooks").glob("*.ipynb")):
        shutil.copy(notebook, target / notebook.name)


_copy_notebooks()


def _from_markdown(app: object, what: str, name: str, one: object, options: object, lines: list[str]) -> None:
    """Docstrings of adapters show programs as Markdown does; Sphinx reads them as reStructuredText."""
    text = re.sub(
        r"^( *)```(\w+)\n(.*?)^ *```$",
        lambda block: f"{block[1]}.. code-block:: {block[2]}\n\n{indent(block[3], '    ')}",
        "\n".join(lines),
        flags=re.DOTALL | re.MULTILINE,
    )
    lines[:] = text.splitlines()


def setup(app: Sphinx) -> None:
    """Register what is above."""
    app.connect("autodoc-process-docstring", _from_markdown)
