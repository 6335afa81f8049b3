"""Sends callbacks as Notify's worker does, with the library that it uses, and says what Notify would do with each answer.

A line of JSON on standard input is one attempt, a line of JSON on standard output what came of it. One session serves all of
them, as one serves all services in a worker of Notify's, so connections are kept and used again.
"""

import base64
import json
import sys
import time

import requests

# Notify's: to connect, and between two bytes of an answer.
TIMEOUT = 5

session = requests.Session()


def trickled(body, pause):
    """A body in pieces, which goes out chunked."""
    middle = len(body) // 2
    yield body[:middle]
    time.sleep(pause)
    yield body[middle:]


def attempt(asked):
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + asked["token"]}
    for name, value in asked["headers"]:
        if value is None:
            headers.pop(name, None)
        else:
            headers[name] = value
    body = base64.b64decode(asked["body"])
    if asked["pause"] is not None:
        body = trickled(body, asked["pause"])
    try:
        response = session.request(asked["method"], asked["url"], data=body, headers=headers, timeout=TIMEOUT)
        response.raise_for_status()
    except requests.HTTPError as error:
        status = error.response.status_code
        return {"notify": "RETRY" if status >= 500 or status == 429 else "DROPPED", "how": str(status)}
    except requests.RequestException as error:
        return {"notify": "RETRY", "how": type(error).__name__}
    hops = "".join(f"{hop.status_code} to " for hop in response.history)
    return {"notify": "DELIVERED", "how": f"{hops}{response.status_code}"}


for line in sys.stdin:
    print(json.dumps(attempt(json.loads(line))), flush=True)
