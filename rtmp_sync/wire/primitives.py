"""Numbers in bytes, and bytes that grow: librt's, which mypyc makes a few machine instructions.

Without librt the same names are made from Python's own, for the plain source only: compiled
modules need librt when they are loaded.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

__all__ = ["BytesWriter", "read_f64_be", "read_i64_be", "write_f64_be"]

if TYPE_CHECKING:  # this is what mypyc goes by
    from librt.strings import BytesWriter, read_f64_be, read_i64_be, write_f64_be
else:
    try:
        from librt.strings import BytesWriter, read_f64_be, read_i64_be, write_f64_be
    except ImportError:
        _DOUBLE: Final = Struct(">d")
        _INTEGER: Final = Struct(">q")

        class BytesWriter(bytearray):
            """Bytes that grow at the end, and then `getvalue`."""

            write = bytearray.extend

            def getvalue(self) -> bytes:
                return bytes(self)

        def read_f64_be(data: bytes, index: int) -> float:
            number: float = _DOUBLE.unpack_from(data, index)[0]
            return number

        def read_i64_be(data: bytes, index: int) -> int:
            number: int = _INTEGER.unpack_from(data, index)[0]
            return number

        def write_f64_be(out: BytesWriter, number: float) -> None:
            out.extend(_DOUBLE.pack(number))
