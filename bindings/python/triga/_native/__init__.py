"""Work that needs no GIL: native functions on the workers, parallel loops, and the batches behind files and buffers."""
