"""Uploads from inside the stack's network; by the standard library alone: `python -c` of this text.

It stands where a load balancer stands: every upload takes one of the addresses that the gateway's name has at that
moment, on a connection of its own. Reads a line with the picture in base64, then uploads until its input ends; prints
what came back as one JSON object.
"""

import base64
import collections
import http.client
import itertools
import json
import socket
import sys
import threading
import time

CLIENTS = 4
PAUSE_S = 0.05


def main(name: str = "tasks.gateway", port: int = 8080) -> None:
    picture = base64.b64decode(sys.stdin.readline())
    stop = threading.Event()
    answers: collections.Counter[tuple[str, int, str]] = collections.Counter()
    gateways: collections.Counter[str] = collections.Counter()
    failures: list[str] = []
    turns = itertools.count()

    def upload() -> None:
        asked = "no address yet"
        started = time.monotonic()
        try:
            addresses = sorted({str(found[4][0]) for found in socket.getaddrinfo(name, port)})
            asked = addresses[next(turns) % len(addresses)]
            connection = http.client.HTTPConnection(asked, port, timeout=30)
            connection.request("POST", "/v1/classify", body=picture, headers={"Content-Type": "image/jpeg"})
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            if answer.status != http.HTTPStatus.OK:
                failures.append(f"{asked}: {answer.status} {body[:300]!r}")
                return
            told = json.loads(body)
            best = told["predictions"][0]
            answers[told["model"]["version"], best["index"], best["label"]] += 1
            gateways[asked] += 1
        except (OSError, http.client.HTTPException) as error:
            failures.append(f"{asked}: {error!r} after {time.monotonic() - started:.2f} s")

    def client() -> None:
        while not stop.is_set():
            upload()
            stop.wait(PAUSE_S)

    clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in clients:
        thread.start()
    print("started", flush=True)  # noqa: T201
    sys.stdin.read()
    stop.set()
    for thread in clients:
        thread.join()
    told = [[*key, count] for key, count in answers.items()]
    print(json.dumps({"answers": told, "gateways": gateways, "failures": failures}))  # noqa: T201


if __name__ == "__main__":
    main()
