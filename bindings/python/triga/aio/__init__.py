"""Files for asyncio: operations that the kernel does while the loop goes on.

The interface is that of aiofiles: ``async with triga.aio.open("name") as file: text = await file.read()``. A loop of
triga's is needed (:func:`triga.run`, ``python -m triga``); io_uring does the operations, or threads where the kernel
has none, and ``triga.stats()`` counts them as ``file_operations`` or ``threaded_file_ops``.

Cancelling a task that waits for an operation cancels the operation in the kernel if that can still be done. Whether or
not it can, the buffer lives until the kernel is done with it, and the file's position stays as it was.
"""

from triga.aio._binary import BinaryFile
from triga.aio._open import open
from triga.aio._text import TextFile
from triga.aio._whole import read_file, read_files, write_file

__all__ = ["BinaryFile", "TextFile", "open", "read_file", "read_files", "write_file"]
