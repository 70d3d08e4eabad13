"""A user's authenticator app, and what reads its QR code, as a phone would."""

import re
import struct
import time
import uuid
import zlib
from xml.etree import ElementTree

import pyotp
import zxingcpp

QR = zxingcpp.BarcodeFormat.QRCode  # a linear code may be seen in any pattern
SVG = "{http://www.w3.org/2000/svg}"


def new_identity() -> str:
    """A user no other test has."""
    return f"user-{uuid.uuid4()}"


class App:
    """An app that read an otpauth URI. Its steps should be a minute: `code` waits where the
    present one is about to end, and tells the time by this machine's clock.
    """

    def __init__(self, uri: str) -> None:
        totp = pyotp.parse_uri(uri)
        assert isinstance(totp, pyotp.TOTP)
        self.totp = totp

    def code(self, steps: int = 0) -> str:
        while time.time() % self.totp.interval > self.totp.interval - 8:
            time.sleep(0.2)
        return str(self.totp.at(int(time.time()) + steps * self.totp.interval))

    def wrong(self) -> str:
        """A code that no step near the present one has."""
        near = {self.code(steps) for steps in range(-4, 5)}
        return next(code for n in range(100, 120) if (code := self.code(n)) not in near)


def read_picture(data: bytes) -> list[str]:
    """What the QR codes of a PNG or SVG say."""
    rows = _png(data) if data.startswith(b"\x89PNG") else _svg(data)
    pixels = memoryview(b"".join(rows)).cast("B", (len(rows), len(rows[0])))
    return [found.text for found in zxingcpp.read_barcodes(pixels, formats=QR)]


def _png(data: bytes) -> list[bytes]:
    """Rows of grey of a PNG with one bit per pixel, and rows as they are or like the one above."""
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    assert (depth, colour) == (1, 0)
    packed, at = b"", 8
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        packed += data[at + 8 : at + 8 + size] if kind == b"IDAT" else b""
        at += size + 12
    raw, stride = zlib.decompress(packed), (width + 7) // 8 + 1
    above, rows = bytes(stride - 1), []
    for n in range(height):
        filtered, line = raw[n * stride], raw[n * stride + 1 : (n + 1) * stride]
        assert filtered in (0, 2)
        if filtered == 2:
            line = bytes((one + other) % 256 for one, other in zip(line, above, strict=True))
        above = line
        rows.append(bytes(255 * (line[x // 8] >> (7 - x % 8) & 1) for x in range(width)))
    return rows


def _svg(data: bytes) -> list[bytes]:
    """Rows of grey of an SVG that draws horizontal strokes on white, as ours does."""
    root = ElementTree.fromstring(data)
    assert {element.tag for element in root.iter()} == {
        f"{SVG}{name}" for name in ("svg", "g", "path")
    }
    white, strokes = root.iter(f"{SVG}path")
    assert white.get("fill") == "#fff"
    scale = 4
    side = int(root.get("width", "0")) // scale
    rows = [bytearray(b"\xff" * side) for _ in range(side)]
    x = y = 0.0
    for command, numbers in re.findall(r"([Mmh])([-0-9. ]+)", strokes.get("d", "")):
        values = [float(number) for number in numbers.split()]
        if command == "h":
            rows[int(y)][int(x) : int(x + values[0])] = bytes(int(values[0]))
            x += values[0]
        else:
            x, y = (values[0], values[1]) if command == "M" else (x + values[0], y + values[1])
    return [bytes(grey for grey in row for _ in range(scale)) for row in rows for _ in range(scale)]
