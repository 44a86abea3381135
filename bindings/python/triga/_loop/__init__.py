"""The event loop: asyncio's selector loop with its working parts replaced by the C++ core's."""
