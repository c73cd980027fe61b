"""The table of costs in docs/threat-model.md has every route, and its rows are measured."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
from starlette.routing import BaseRoute, Match

from gateway.app import create_app
from gateway.settings import Settings
from tests.attacks import promises
from tests.attacks.promises import Cost, Measured, broken, promised, worst
from tests.attacks.rows import ROWS, Request, path_of

REQUESTS = [request for row in ROWS.values() for request in row]
ONE = Measured("small", 10, 200, 0.5, Cost(*[1] * 8))
TWO = replace(ONE, request="large", cost=replace(ONE.cost, replicas_ms=5, gateway_mib=0.5))


def leaves(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """The routes without the routers that hold them."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        yield from leaves(inner.routes) if inner else [route]


def asks(request: Request, route: BaseRoute) -> bool:
    scope = {"type": "http", "method": request.method, "path": path_of(request), "root_path": "", "headers": []}
    return route.matches(scope)[0] == Match.FULL


def test_every_route_of_the_gateway_is_asked_by_a_row_of_the_table() -> None:
    routes = list(leaves(create_app(Settings(upstream="127.0.0.1:1")).routes))
    assert len(routes) > 25
    assert [route for route in routes if not any(asks(request, route) for request in REQUESTS)] == []


@pytest.mark.parametrize("column", ["before", "now"])
def test_every_row_of_the_table_is_measured(column: str) -> None:
    assert list(promises.read()[column]) == list(ROWS), "run make cost"


def test_every_promise_is_of_a_row() -> None:
    assert set(promises.PROMISES) - set(ROWS) == set()


def test_a_row_shows_the_dearest_request_with_the_largest_of_each_figure() -> None:
    row = worst([ONE, TWO])
    assert (row.request, row.cost.replicas_ms, row.cost.gateway_mib) == ("large", 5, 1)


def test_a_figure_above_its_promise_is_reported() -> None:
    lost = replace(ONE, cost=replace(ONE.cost, replicas_lost=1))
    assert promised("GET /healthz") == Cost()
    assert broken({"GET /healthz": ONE}) == []
    assert broken({"GET /healthz": lost}) == ["GET /healthz: replicas_lost is 1, promised 0"]
