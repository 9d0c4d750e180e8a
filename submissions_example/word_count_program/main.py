"""Map-reduce written whole: `main` is a master, a mapper or a reducer, by its role.

The master decides how many mappers there are, invokes them and then a reducer through OpenWhisk's API; what they say to
each other are objects of the bucket.
"""

import io
import json
import os
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections import Counter

from minio import Minio


def main(params):
    roles = {"master": master, "map": map_words, "reduce": reduce_counts}
    if params.get("role") not in roles:
        return {"error": f"role must be one of {', '.join(roles)}, not {params.get('role')!r}"}
    return roles[params["role"]](params)


def master(params):
    """Splits the objects among the mappers, and returns what the reducer answers."""
    names, mappers = params["objects"], min(params.get("workers", 2), 3 * len(params["objects"]))
    store(params)
    parts = [f"counts/{'-'.join(names)}/{number}" for number in range(mappers)]
    mapping = [
        invoke({"role": "map", "objects": names, "part": number, "parts": mappers, "into": part})
        for number, part in enumerate(parts)
    ]
    for activation in mapping:
        answer(activation)
    return answer(invoke({"role": "reduce", "counts": parts}))


def map_words(params):
    """Counts every `parts`-th word of the objects, from word `part` on."""
    client, counts = store(params), Counter()
    for name in params["objects"]:
        words = client.get_object(params["bucket"], name).read().decode().split()
        counts.update(words[params["part"] :: params["parts"]])
    content = json.dumps(counts).encode()
    client.put_object(params["bucket"], params["into"], io.BytesIO(content), len(content))
    return {"words": counts.total()}


def reduce_counts(params):
    client, counts = store(params), Counter()
    for name in params["counts"]:
        counts.update(json.loads(client.get_object(params["bucket"], name).read()))
    word, number = max(counts.items(), key=lambda one: (one[1], one[0]))
    print(f"{len(counts)} different words")
    return {"words": counts.total(), "most": [word, number]}


def store(params):
    """The bucket's client; the bucket is there already, or is made."""
    client = Minio(params["endpoint"], params["access_key"], params["secret_key"], secure=False)
    if not client.bucket_exists(params["bucket"]):
        client.make_bucket(params["bucket"])
    return client


def ask(method, path, body=None):
    """One request to OpenWhisk's API; the environment has its address and a key."""
    request = urllib.request.Request(
        f"{os.environ['__OW_API_HOST']}/api/v1/namespaces/_/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": "Basic " + b64encode(os.environ["__OW_API_KEY"].encode()).decode(),
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def invoke(params):
    """Starts another function of this action; its activation."""
    name = os.environ["__OW_ACTION_NAME"].split("/")[-1]
    return ask("POST", f"actions/{name}", params)["activationId"]


def answer(activation):
    """Waits for a function's end: OpenWhisk does not know an activation before it."""
    while True:
        try:
            response = ask("GET", f"activations/{activation}")["response"]
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            time.sleep(0.05)
            continue
        if not response["success"]:
            raise RuntimeError(f"a function failed: {response['result']}")
        return response["result"]
