"""The media type of the API that schemathesis does not know."""

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(_context, value):
    """Sends a text as it is."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")
