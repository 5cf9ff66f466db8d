# SPDX-License-Identifier: MIT
"""The site of the documentation: `make docs`.

The pages are the Markdown files that stand in the repository, where they stand, so that they can be
read there as well. Only this folder is for the site alone.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "src"))

import click  # noqa: E402
from click.testing import CliRunner  # noqa: E402
from pygments.lexers.special import TextLexer  # noqa: E402
from sphinx.errors import ExtensionError  # noqa: E402

import envring  # noqa: E402
from envring.cli.commands import command  # noqa: E402

project = "envring"
author = copyright = "The envring authors"
version = release = envring.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/site/index"
include_patterns = ["docs/**", "*.md", "csrc/README.md", "benchmarks/README.md"]
source_suffix = {".md": "markdown"}

html_theme = "furo"
html_title = f"envring {release}"
html_show_sourcelink = False
html_extra_path = ["root"]

myst_heading_anchors = 4
napoleon_use_ivar = True
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
suppress_warnings = ["myst.header"]  # tables of figures skip a level
autodoc_mock_imports = ["pettingzoo", "stable_baselines3", "tianshou"]


def links(app, docname, source):
    """Turns links to folders and to files that are no pages into their names."""
    home = (ROOT / docname).parent

    def shown(found):
        text, target = found[1], found[2]
        path = (home / target.partition("#")[0]).resolve()
        if target.startswith(("http", "#")) or path.suffix in (".md", ".png"):
            return found[0]
        return f"{text} (`{path.relative_to(ROOT)}`)" if path.is_relative_to(ROOT) else text

    source[0] = re.sub(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)", shown, source[0])


def commands(names=()):
    """A section for a command, as its --help shows it, and for each one below it."""
    shown = CliRunner().invoke(command, [*names, "--help"], prog_name="envring", terminal_width=90)
    if shown.exit_code:
        raise ExtensionError(f"envring {' '.join(names)} --help: {shown.output}")
    title = " ".join(["envring", *names])
    yield f"{'#' * (len(names) + 2)} {title}\n\n```text\n{shown.output}```\n"
    group = command
    for name in names:
        group = group.get_command(None, name)
    if isinstance(group, click.Group):
        for name in group.list_commands(None):
            yield from commands((*names, name))


def write_commands(app):
    """Writes the page of the command line."""
    text = "# Command line\n\n" + "\n".join(commands())
    path = Path(__file__).with_name("cli.md")
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def setup(app):
    """What Sphinx calls."""
    app.add_lexer("wire", TextLexer)  # docs/wire.md marks its conversations so
    app.connect("builder-inited", write_commands)
    app.connect("source-read", links)
