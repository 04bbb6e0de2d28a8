"""What `python -m smaller compress` prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from smaller.base.paths import require_place
from smaller.deploy.search import Found, compress
from smaller.encoders import ABOUT_FILE
from smaller.formats.shipping import folder_bytes


def compress_command(encoder: str, data: str, folder: Path | str, *, say: Callable[[str], None], **options) -> Found:
    """Search, ship, and say in plain words what came out; the options are those of `compress`.

    Whether the model can be written to the folder is looked at before anything else.
    """
    require_place(folder, mark=ABOUT_FILE)
    found = compress(encoder, data, say=say, **options)
    place = found.ship(folder)
    say(f"chosen: {found.candidate}")
    for line in found.notes()[: 3 + (found.without is not None)]:
        say(line)
    say(f"{place}: {folder_bytes(place) / 1e6:.2f} MB; README.md says how to use it")
    return found
