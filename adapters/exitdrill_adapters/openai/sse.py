"""Server-sent events, sans IO: bytes in, data payloads out.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation, with one
liberty: what stands at the end of a stream without a blank line after it still counts, because some
servers end on ``data: [DONE]``.
"""

from __future__ import annotations

from collections.abc import Sequence

BOM = b"\xef\xbb\xbf"


class SSEParser:
    """Splits a byte stream into the data payloads of its events.

    The payloads do not depend on where the stream was cut: not inside a character, nor between the
    two bytes of a CRLF. Comments and fields other than ``data`` are skipped. How much may come is
    for whoever feeds it to say.
    """

    __slots__ = ("_after_cr", "_data", "_first", "_pieces")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []  # of a line whose end has not come yet
        self._data: list[bytes] = []  # the data lines of the event that is under way
        self._after_cr = False
        self._first = True

    def feed(self, chunk: bytes) -> Sequence[bytes]:
        """The payloads that are complete now."""
        if self._after_cr or b"\r" in chunk:
            chunk = self._normalise(chunk)
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if lines:
            self._complete(lines)
        if rest:
            self._pieces.append(rest)
        return self._dispatch(lines)

    def close(self) -> Sequence[bytes]:
        """The payload that the end of the stream left unfinished, if any."""
        return self.feed(b"\n\n\n")

    def _complete(self, lines: list[bytes]) -> None:
        """Puts what came before in front of the first line."""
        if self._pieces:
            lines[0] = b"".join((*self._pieces, lines[0]))
            self._pieces = []
        if self._first:
            self._first = False
            lines[0] = lines[0].removeprefix(BOM)

    def _dispatch(self, lines: list[bytes]) -> Sequence[bytes]:
        # Runs for every line of every stream, so it calls nothing of ours.
        payloads: list[bytes] = []
        data = self._data
        for line in lines:
            if line.startswith(b"data: "):
                data.append(line[6:])
            elif not line:
                if data:
                    payloads.append(b"\n".join(data))
                    data.clear()
            elif line.startswith(b"data:"):
                data.append(line[5:])
            elif line == b"data":
                data.append(b"")
        return payloads

    def _normalise(self, chunk: bytes) -> bytes:
        """LF for CRLF and CR. A CR at the end of a chunk ends its line at once; should the next
        chunk begin with the LF that belongs to it, that LF is dropped."""
        if not chunk:
            return chunk
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._after_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
