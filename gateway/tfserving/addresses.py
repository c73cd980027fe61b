"""A replica's address: `HOST:PORT` of its REST API, with `/PORT` of its gRPC API where that is not the usual one."""


def rest_address(address: str) -> str:
    """`a:8501/9000` -> `a:8501`."""
    return address.partition("/")[0]


def grpc_address(address: str, usual_port: int) -> str:
    """`a:8501/9000` -> `a:9000`; `a:8501` -> `a:` and the usual port."""
    rest, _, port = address.partition("/")
    return f"{rest.rpartition(':')[0]}:{port or usual_port}"
