// SPDX-License-Identifier: MIT
// The least that a coroutine can read from and write to a connection with: epoll, one recvmsg(2) and one
// send(2) a message, and an asyncio.Future for each read. There are no limits, no back-pressure, no errors
// that anybody is told of, and what the kernel does not take ends the program.
// bench/programs/least_streams.py makes a server of it, on the least loop.
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace {

constexpr std::size_t most_per_read = 256 * 1024;

// Both ends of a stream in one: read(n), write(data), drain(), close(). Awaiting drain()'s answer, which is
// the connection itself, is over at once.
struct connection {
  PyObject_HEAD int descriptor;
  PyObject* loop;
  PyObject* waiter;  // of read()
  Py_ssize_t last_size;
};

connection* self_of(PyObject* object) { return reinterpret_cast<connection*>(object); }

PyObject* read(PyObject* object, PyObject* /*count*/) {
  connection* const self = self_of(object);
  Py_XSETREF(self->waiter, PyObject_CallMethod(self->loop, "create_future", nullptr));
  return Py_XNewRef(self->waiter);
}

PyObject* write(PyObject* object, PyObject* data) {
  char* start = nullptr;
  Py_ssize_t size = 0;
  if (PyBytes_AsStringAndSize(data, &start, &size) < 0) return nullptr;
  if (send(self_of(object)->descriptor, start, static_cast<std::size_t>(size), MSG_NOSIGNAL) != size) {
    return PyErr_SetFromErrno(PyExc_OSError);
  }
  Py_RETURN_NONE;
}

PyObject* drain(PyObject* object, PyObject* /*none*/) { return Py_NewRef(object); }

PyObject* close_connection(PyObject* object, PyObject* /*none*/) {
  close(self_of(object)->descriptor);
  Py_RETURN_NONE;
}

// As the iterator of its own await expression: at its end from the start.
PyObject* at_end(PyObject* /*object*/) { return nullptr; }

void dealloc(PyObject* object) {
  PyTypeObject* const type = Py_TYPE(object);
  Py_XDECREF(self_of(object)->loop);
  Py_XDECREF(self_of(object)->waiter);
  type->tp_free(object);
  Py_DECREF(type);
}

std::array<PyMethodDef, 5> methods{{
    {"read", &read, METH_O, nullptr},
    {"write", &write, METH_O, nullptr},
    {"drain", &drain, METH_NOARGS, nullptr},
    {"close", &close_connection, METH_NOARGS, nullptr},
    {},
}};

std::array<PyType_Slot, 6> slots{{
    {Py_tp_dealloc, reinterpret_cast<void*>(&dealloc)},
    {Py_tp_methods, methods.data()},
    {Py_tp_iternext, reinterpret_cast<void*>(&at_end)},
    {Py_tp_iter, reinterpret_cast<void*>(&PyObject_SelfIter)},
    {Py_am_await, reinterpret_cast<void*>(&PyObject_SelfIter)},
    {},
}};

PyType_Spec spec{"least_streams_native.Connection", sizeof(connection), 0,
                 Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots.data()};

bool watch(int epoll, int descriptor, void* what) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = what;
  return epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) == 0;
}

// What has come, or b"" at the end; null without an exception: nothing. Messages are mostly of one size, so
// as much as the last time goes straight into the bytes object.
PyObject* received(connection* self) {
  static std::array<char, most_per_read> rest;
  PyObject* data = PyBytes_FromStringAndSize(nullptr, self->last_size);
  if (data == nullptr) return nullptr;
  std::array<iovec, 2> into{
      {{PyBytes_AS_STRING(data), static_cast<std::size_t>(self->last_size)}, {rest.data(), rest.size()}}};
  msghdr message{};
  message.msg_iov = into.data();
  message.msg_iovlen = into.size();
  const ssize_t size = recvmsg(self->descriptor, &message, MSG_DONTWAIT);
  if (size < 0) {
    Py_DECREF(data);
    return errno == EAGAIN ? nullptr : PyErr_SetFromErrno(PyExc_OSError);
  }
  const Py_ssize_t before = self->last_size;
  self->last_size = size;
  if (size != before && _PyBytes_Resize(&data, size) < 0) return nullptr;
  if (size > before)
    std::memcpy(PyBytes_AS_STRING(data) + before, rest.data(), static_cast<std::size_t>(size - before));
  return data;
}

// Whoever waits in read() gets it.
bool receive(connection* self, PyObject* set_result) {
  PyObject* const data = received(self);
  if (data == nullptr) return PyErr_Occurred() == nullptr;
  PyObject* const waiter = self->waiter;
  self->waiter = nullptr;
  PyObject* const done = waiter != nullptr ? PyObject_CallMethodOneArg(waiter, set_result, data)
                                           : Py_NewRef(Py_None);  // told of the end
  Py_DECREF(data);
  Py_XDECREF(waiter);
  Py_XDECREF(done);
  return done != nullptr;
}

// What serve() works with.
struct server {
  PyObject* loop;
  PyObject* started;
  PyTypeObject* type;
  int listener;
  int epoll;
};

bool accept_one(const server& on) {
  const int descriptor = accept(on.listener, nullptr, nullptr);
  if (descriptor < 0) return errno == EAGAIN || PyErr_SetFromErrno(PyExc_OSError) != nullptr;
  const int yes = 1;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  PyObject* const object = on.type->tp_alloc(on.type, 0);
  if (object == nullptr) return false;
  self_of(object)->descriptor = descriptor;
  self_of(object)->loop = Py_NewRef(on.loop);
  PyObject* const task = PyObject_CallOneArg(on.started, object);  // which keeps the connection
  Py_DECREF(object);
  const bool good = task != nullptr && watch(on.epoll, descriptor, object);
  Py_XDECREF(task);
  return good;
}

// False: standard input has ended, or an exception is set.
bool serve_once(const server& on, PyObject* set_result) {
  std::array<epoll_event, 256> events;
  int count = 0;
  Py_BEGIN_ALLOW_THREADS;
  count = epoll_wait(on.epoll, events.data(), static_cast<int>(events.size()), -1);
  Py_END_ALLOW_THREADS;
  for (int i = 0; i < count; ++i) {
    void* const what = events[static_cast<std::size_t>(i)].data.ptr;
    if (what == nullptr) return false;
    const bool good = what == &on ? accept_one(on) : receive(static_cast<connection*>(what), set_result);
    if (!good) return false;
  }
  PyObject* const ran = PyObject_CallMethod(on.loop, "run_pending", nullptr);
  Py_XDECREF(ran);
  return ran != nullptr;
}

// serve(loop, listener's descriptor, started): calls started(connection) for each, until standard input ends.
PyObject* serve(PyObject* module, PyObject* arguments) {
  server on{};
  if (PyArg_ParseTuple(arguments, "OiO", &on.loop, &on.listener, &on.started) == 0) return nullptr;
  PyObject* const type = PyObject_GetAttrString(module, "Connection");
  PyObject* const set_result = PyUnicode_InternFromString("set_result");
  on.type = reinterpret_cast<PyTypeObject*>(type);
  on.epoll = epoll_create1(EPOLL_CLOEXEC);
  if (type != nullptr && set_result != nullptr && watch(on.epoll, on.listener, &on) &&
      watch(on.epoll, STDIN_FILENO, nullptr)) {
    while (serve_once(on, set_result)) continue;
  } else if (PyErr_Occurred() == nullptr) {
    PyErr_SetFromErrno(PyExc_OSError);
  }
  close(on.epoll);
  Py_XDECREF(type);
  Py_XDECREF(set_result);
  if (PyErr_Occurred() != nullptr) return nullptr;
  Py_RETURN_NONE;
}

std::array<PyMethodDef, 2> functions{{{"serve", &serve, METH_VARARGS, nullptr}, {}}};

int fill(PyObject* module) {
  PyObject* const type = PyType_FromSpec(&spec);
  const int failed = type == nullptr ? -1 : PyModule_AddObjectRef(module, "Connection", type);
  Py_XDECREF(type);
  return failed;
}

std::array<PyModuleDef_Slot, 2> module_slots{{{Py_mod_exec, reinterpret_cast<void*>(&fill)}, {}}};

PyModuleDef definition{PyModuleDef_HEAD_INIT,
                       "least_streams_native",
                       nullptr,
                       0,
                       functions.data(),
                       module_slots.data(),
                       nullptr,
                       nullptr,
                       nullptr};

}  // namespace

PyMODINIT_FUNC PyInit_least_streams_native() { return PyModuleDef_Init(&definition); }
