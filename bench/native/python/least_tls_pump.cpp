// SPDX-License-Identifier: MIT
// The least that TLS can cost whoever has to go by Python's ssl module, as its SSLContext is the program's:
// the module's own objects on MemoryBIOs, called straight from C, with epoll and without an event loop, a
// transport or a protocol. bench/programs/least_tls.py makes the objects and shakes hands.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

namespace {

constexpr Py_ssize_t record = 16 * 1024;           // of plaintext
constexpr std::size_t most_per_read = 256 * 1024;  // as asyncio's

bool fail() {
  PyErr_SetFromErrno(PyExc_OSError);
  return false;
}

// One side of the connection. The references are borrowed from run()'s arguments, except `rest`.
struct end {
  PyObject* read;   // ssl's read(size)
  PyObject* write;  // its write(data)
  PyObject* feed;   // the incoming MemoryBIO's write(data)
  PyObject* drain;  // the outgoing one's read()
  PyObject* incoming;
  int socket;
  PyObject* rest = nullptr;  // encrypted bytes, of which `sent` are sent
  Py_ssize_t sent = 0;

  // Sends what is encrypted, as far as the kernel takes it.
  bool send() {
    for (;;) {
      if (rest == nullptr) {
        rest = PyObject_CallNoArgs(drain);
        sent = 0;
        if (rest == nullptr) return false;
      }
      const Py_ssize_t left = PyBytes_GET_SIZE(rest) - sent;
      if (left > 0) {
        const ssize_t size =
            ::send(socket, PyBytes_AS_STRING(rest) + sent, static_cast<std::size_t>(left), MSG_NOSIGNAL);
        if (size < 0) return errno == EAGAIN || fail();
        sent += size;
        if (size < left) continue;
      }
      const bool last = PyBytes_GET_SIZE(rest) == 0;
      Py_CLEAR(rest);
      if (last) return true;
    }
  }

  bool encrypt(PyObject* message) {
    PyObject* const size = PyObject_CallOneArg(write, message);
    Py_XDECREF(size);
    return size != nullptr && send();
  }

  Py_ssize_t pending() const {
    PyObject* const size = PyObject_GetAttrString(incoming, "pending");
    const Py_ssize_t found = size != nullptr ? PyLong_AsSsize_t(size) : -1;
    Py_XDECREF(size);
    return found;
  }

  // Receives once, and adds to `got` how many bytes that decrypts to.
  bool receive(Py_ssize_t& got) {
    static std::vector<char> buffer(most_per_read);
    const ssize_t size = ::recv(socket, buffer.data(), buffer.size(), 0);
    if (size < 0) return errno == EAGAIN || fail();
    PyObject* const view = PyMemoryView_FromMemory(buffer.data(), size, PyBUF_READ);
    PyObject* const fed = view != nullptr ? PyObject_CallOneArg(feed, view) : nullptr;
    Py_XDECREF(view);
    Py_XDECREF(fed);
    if (fed == nullptr) return false;
    for (Py_ssize_t there = size, most = 0, count = 0; there > 0 || count == most; there = pending()) {
      most = there > 0 ? std::min(there, record) : record;
      PyObject* const asked = PyLong_FromSsize_t(most);
      PyObject* const data = asked != nullptr ? PyObject_CallOneArg(read, asked) : nullptr;
      Py_XDECREF(asked);
      if (data == nullptr) {  // SSLWantReadError: a part of a record
        PyErr_Clear();
        return true;
      }
      count = PyBytes_GET_SIZE(data);
      got += count;
      Py_DECREF(data);
    }
    return PyErr_Occurred() == nullptr;
  }
};

// One message's way.
bool pass(end& from, end& to, int epoll, PyObject* message) {
  if (!from.encrypt(message)) return false;
  for (Py_ssize_t got = 0; got < PyBytes_GET_SIZE(message);) {
    std::array<epoll_event, 2> ready;
    if (epoll_wait(epoll, ready.data(), 2, 1000) < 0) return fail();
    if (!to.receive(got) || !from.send()) return false;
  }
  return true;
}

// run(client, server, message, echoes, count): passes the message so often, and back again if it is echoed.
// An end is (read, write, feed, drain, incoming, descriptor).
PyObject* run(PyObject*, PyObject* arguments) {
  end client{}, server{};
  PyObject* message = nullptr;
  int echoes = 0, count = 0;
  if (PyArg_ParseTuple(arguments, "(OOOOOi)(OOOOOi)Spi", &client.read, &client.write, &client.feed,
                       &client.drain, &client.incoming, &client.socket, &server.read, &server.write,
                       &server.feed, &server.drain, &server.incoming, &server.socket, &message, &echoes,
                       &count) == 0) {
    return nullptr;
  }
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  bool good = epoll >= 0 || fail();
  for (const int each : {client.socket, server.socket}) {
    epoll_event wanted{};
    wanted.events = EPOLLIN;
    wanted.data.fd = each;
    good = good && (epoll_ctl(epoll, EPOLL_CTL_ADD, each, &wanted) == 0 || fail());
  }
  for (int i = 0; good && i < count; ++i) {
    good = pass(client, server, epoll, message) && (echoes == 0 || pass(server, client, epoll, message));
  }
  if (epoll >= 0) close(epoll);
  Py_XDECREF(client.rest);
  Py_XDECREF(server.rest);
  return good ? Py_NewRef(Py_None) : nullptr;
}

PyMethodDef methods[] = {
    {"run", run, METH_VARARGS, "run(client, server, message, echoes, count): see the source."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "least_tls_pump",
    .m_doc = "TLS by the ssl module's objects, and nothing else.",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = nullptr,
    .m_traverse = nullptr,
    .m_clear = nullptr,
    .m_free = nullptr,
};

}  // namespace

PyMODINIT_FUNC PyInit_least_tls_pump() { return PyModuleDef_Init(&definition); }
