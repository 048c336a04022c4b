"""Publishes a stage's result over those of earlier attempts, and over no later one. `runner` calls it.

A stage whose node was given up for lost may still run there, beside the attempt that took its place.
"""

from __future__ import annotations

import hashlib

from airloom.errors import DataError, UnavailableError
from airloom.ports import ObjectStore
from airloom.protocol import Artifact, StageContext, StageResult

_TRIES = 20
"""Each is lost to another attempt that has published meanwhile."""


def require_newest(store: ObjectStore, context: StageContext) -> str | None:
    """See that no later attempt has published.

    Returns:
        ETag of what an earlier one has published; None: nothing is.

    Errors:
        UnavailableError: a later attempt has published; or as `ObjectStore`'s.
    """
    try:
        found = store.read_unless(context.result_uri, None)
    except DataError:
        return None
    assert found is not None
    content, etag = found
    published = StageResult.from_json(content)
    if published.attempt > context.attempt:
        raise UnavailableError(
            f"attempt {published.attempt} of this stage has published its result; nobody waits for attempt "
            f"{context.attempt} any more"
        )
    return etag


def publish_result(store: ObjectStore, context: StageContext, document: bytes) -> Artifact:
    """Put a result in its place in one step, on condition that what was looked at is still there.

    Errors: as `require_newest`'s.
    """
    for _ in range(_TRIES):
        etag = require_newest(store, context)
        if store.replace(context.result_uri, document, etag) is not None:
            digest = f"sha256:{hashlib.sha256(document).hexdigest()}"
            return Artifact(uri=context.result_uri, digest=digest, size=len(document))
    raise UnavailableError(
        f"{context.result_uri} was not written on its condition in {_TRIES} tries; nothing was published. Does the "
        "object store know conditional writes (If-Match)?"
    )
