"""Pieces of a self-contained HTML page: tables, cards, badges and the frame around them.

Everything that is not :class:`Html` is escaped; no script, no external resource.
"""

import base64
import html
from collections.abc import Iterable, Sequence
from importlib import resources
from string import Template
from typing import NewType

Html = NewType("Html", str)

NOTHING = Html('<span class="muted">&ndash;</span>')


def escaped(text: object) -> Html:
    """Return text with everything escaped that HTML would interpret."""
    return Html(html.escape(str(text)))


def joined(parts: Iterable[Html]) -> Html:
    """Concatenate pieces."""
    return Html("".join(parts))


def badge(text: str, role: str) -> Html:
    """Return a small label; role is ``good``, ``bad``, ``warn`` or ``quiet``."""
    return Html(f'<span class="badge {role}">{escaped(text)}</span>')


def code(text: str) -> Html:
    """Return text in the style of a command, selectable as a whole with one click."""
    return Html(f"<code>{escaped(text)}</code>")


def paragraph(text: Html, role: str = "") -> Html:
    """Return a paragraph; role ``lead`` or ``muted`` changes its style."""
    return Html(f'<p class="{role}">{text}</p>')


def table(head: Sequence[str], rows: Sequence[Sequence[Html]], num_columns: str = "") -> Html:
    """Return a table that scrolls sideways on a narrow screen.

    Args:
        head: Column titles.
        rows: Cells per row.
        num_columns: One letter per column: ``n`` right-aligns numbers, ``t`` is text.
    """
    kinds = (num_columns or "t" * len(head)).ljust(len(head), "t")
    titles = "".join(
        f'<th class="{k}" scope="col">{escaped(t)}</th>' for t, k in zip(head, kinds, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f'<td class="{k}">{cell}</td>' for cell, k in zip(row, kinds, strict=True))
        + "</tr>"
        for row in rows
    )
    return Html(
        f'<div class="scroll"><table><thead><tr>{titles}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def figure(svg: str, caption: str, *, is_wide: bool = False) -> Html:
    """Return a drawing with its caption; a wide one scrolls on a narrow screen."""
    role = "figure wide" if is_wide else "figure"
    return Html(
        f'<figure class="{role}"><div class="scroll">{svg}</div>'
        f"<figcaption>{escaped(caption)}</figcaption></figure>"
    )


def video(mp4: bytes, caption: str) -> Html:
    """Return an embedded, muted, looping video."""
    data = base64.b64encode(mp4).decode("ascii")
    return Html(
        '<figure class="film"><video controls muted loop autoplay playsinline preload="auto" '
        f'src="data:video/mp4;base64,{data}"></video>'
        f"<figcaption>{escaped(caption)}</figcaption></figure>"
    )


def tile(label: str, value: str, detail: str, role: str) -> Html:
    """Return one key figure; role colours its edge: ``good``, ``bad`` or ``quiet``."""
    return Html(
        f'<div class="tile {role}"><div class="label">{escaped(label)}</div>'
        f'<div class="value">{escaped(value)}</div>'
        f'<div class="detail">{escaped(detail)}</div></div>'
    )


def grid(parts: Iterable[Html], role: str = "columns") -> Html:
    """Return pieces side by side where there is room."""
    return Html(f'<div class="{role}">{joined(parts)}</div>')


def section(identifier: str, title: str, body: Html) -> Html:
    """Return a titled section with an anchor."""
    return Html(f'<section id="{identifier}"><h2>{escaped(title)}</h2>{body}</section>')


def details(title: str, body: Html) -> Html:
    """Return a part that is folded away until asked for."""
    return Html(f"<details><summary>{escaped(title)}</summary>{body}</details>")


def page(title: str, header: Html, sections: Sequence[tuple[str, str, Html]], footer: Html) -> str:
    """Return the whole document.

    Args:
        title: Document title.
        header: What stands above the sections.
        sections: (identifier, title, body) in order; they also make up the navigation.
        footer: What stands below.
    """
    links = "".join(f'<a href="#{i}">{escaped(t)}</a>' for i, t, _ in sections)
    return _PAGE.substitute(
        title=escaped(title),
        style=resources.files(__package__).joinpath("assets/report.css").read_text("utf-8"),
        header=header,
        navigation=links,
        body=joined(section(i, t, b) for i, t, b in sections),
        footer=footer,
    )


_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>$style</style>
</head>
<body>
<header class="top">$header</header>
<nav>$navigation</nav>
<main>$body</main>
<footer>$footer</footer>
</body>
</html>
""")
