"""Every conversation under conversations/<engine>/ still goes as it is written there."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests.engines.conversation import play
from tests.engines.schedule import engine_named

FOLDER = Path(__file__).parent / "conversations"
FILES = sorted(FOLDER.glob("*/*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_conversation(path: Path, rewrite: bool) -> None:
    play(engine_named(path.parent.name), path, rewrite)
