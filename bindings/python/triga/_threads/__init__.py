"""The threads part: what stands under threading, queue and the thread pool of concurrent.futures."""
