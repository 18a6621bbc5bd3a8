"""The static files of the pages: styles, scripts and the icon."""

from __future__ import annotations

import mimetypes
from hashlib import blake2b
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

_FOLDER = Path(__file__).parent / "static"


class Assets:
    """The files of `static`, in memory. Each has an address that changes with its content."""

    def __init__(self) -> None:
        self._files = {path.name: path.read_bytes() for path in sorted(_FOLDER.iterdir()) if path.is_file()}
        self._versions = {name: blake2b(data, digest_size=6).hexdigest() for name, data in self._files.items()}

    def path(self, name: str) -> str:
        """Returns the path of a file below the monitor's root."""
        return f"/static/{name}?v={self._versions[name]}"

    def respond(self, request: Request) -> Response:
        """Serves a file. With its version in the address it may be cached forever."""
        name = request.path_params["name"]
        data = self._files.get(name)
        if data is None:
            return Response("File not found.", status_code=404, media_type="text/plain")
        is_current = request.query_params.get("v") == self._versions[name]
        media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        cache_control = "public, max-age=31536000, immutable" if is_current else "no-cache"
        return Response(data, media_type=media_type, headers={"Cache-Control": cache_control})
