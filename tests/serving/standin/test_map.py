"""The package's docstring names files that exist, and every room."""

import re

import serving.standin
from tests.documents import ROOT

PACKAGE = ROOT / "serving/standin"


def test_every_file_of_the_map_exists() -> None:
    named = re.findall(r"`((?:http|json|grpc|models|engine|tensors|tests)/[^`]*)`", serving.standin.__doc__ or "")
    assert len(named) > 20
    missing = [name for name in named if not ((PACKAGE / name).exists() or (ROOT / name).exists())]
    assert missing == []


def test_every_room_is_on_the_map() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert rooms == set(re.findall(r"`(\w+)/`", serving.standin.__doc__ or ""))
