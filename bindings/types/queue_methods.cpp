// SPDX-License-Identifier: MIT
// The table of the public methods of Queue, LifoQueue and PriorityQueue.
#include "bindings/types/queue_operations.h"

namespace triga {

#define TRIGA_KEYWORDS(function) reinterpret_cast<PyCFunction>(function), METH_FASTCALL | METH_KEYWORDS

PyMethodDef queue_methods[] = {
    {"put", TRIGA_KEYWORDS(queue_put),
     "put($self, /, item, block=True, timeout=None)\n--\n\nPut an item into the queue.\n\n"
     "Blocks while the queue is full if block is true, at most timeout seconds if timeout is not None; "
     "raises Full\n"
     "where no slot became free, ShutDown (3.13 and later) if the queue has been shut down."},
    {"get", TRIGA_KEYWORDS(queue_get),
     "get($self, /, block=True, timeout=None)\n--\n\nRemove and return an item from the queue.\n\n"
     "Blocks while the queue is empty if block is true, at most timeout seconds if timeout is not None; "
     "raises Empty\n"
     "where no item came, ShutDown (3.13 and later) if the queue has been shut down and is empty."},
    {"put_nowait", TRIGA_KEYWORDS(queue_put_nowait),
     "put_nowait($self, /, item)\n--\n\nPut an item into the queue without blocking: put(item, "
     "block=False)."},
    {"get_nowait", queue_get_nowait, METH_NOARGS,
     "get_nowait($self, /)\n--\n\nRemove and return an item from the queue without blocking: "
     "get(block=False)."},
    {"qsize", queue_qsize, METH_NOARGS,
     "qsize($self, /)\n--\n\nReturn the approximate size of the queue (not reliable!)."},
    {"empty", queue_empty, METH_NOARGS,
     "empty($self, /)\n--\n\nReturn True if the queue is empty, False otherwise (not reliable!)."},
    {"full", queue_full, METH_NOARGS,
     "full($self, /)\n--\n\nReturn True if the queue is full, False otherwise (not reliable!)."},
    {"task_done", queue_task_done, METH_NOARGS,
     "task_done($self, /)\n--\n\nIndicate that a formerly enqueued task is complete.\n\n"
     "Raises ValueError if called more times than there were items placed in the queue."},
    {"join", queue_join, METH_NOARGS,
     "join($self, /)\n--\n\nBlocks until all items in the Queue have been gotten and processed."},
#if PY_VERSION_HEX >= 0x030D0000
    {"shutdown", TRIGA_KEYWORDS(queue_shutdown),
     "shutdown($self, /, immediate=False)\n--\n\nShut-down the queue, making queue gets and puts raise "
     "ShutDown.\n\n"
     "Gets raise only once the queue is empty, unless immediate is true: then the queue is drained, and a "
     "task is\n"
     "marked as done for each item. All blocked callers of put() and get() are unblocked."},
#endif
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace triga
