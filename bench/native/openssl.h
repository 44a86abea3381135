// SPDX-License-Identifier: MIT
// OpenSSL's, loaded at run time, since the headers need not be installed.
#pragma once

#include <dlfcn.h>

#include "common.h"

struct SSL;
struct SSL_CTX;
struct BIO;

inline void* library() {
  static void* const loaded = dlopen("libssl.so.3", RTLD_NOW | RTLD_GLOBAL);
  if (loaded == nullptr)
    std::fputs("OpenSSL: there is no libssl.so.3 (OpenSSL 3) on this machine\n", stderr), std::exit(1);
  return loaded;
}

template <class Function>
Function* named(const char* name) {
  void* const found = dlsym(library(), name);
  if (found == nullptr) std::fprintf(stderr, "OpenSSL: libssl.so.3 has no %s\n", name), std::exit(1);
  return reinterpret_cast<Function*>(found);
}

inline const auto ssl_new = named<SSL*(SSL_CTX*)>("SSL_new");
inline const auto ssl_do_handshake = named<int(SSL*)>("SSL_do_handshake");
inline const auto ssl_read = named<int(SSL*, void*, int)>("SSL_read");
inline const auto ssl_write = named<int(SSL*, const void*, int)>("SSL_write");

inline void require(bool done, const char* what) {
  if (!done) std::fprintf(stderr, "OpenSSL: %s failed\n", what), std::exit(1);
}

inline SSL_CTX* client_context() {
  return named<SSL_CTX*(const void*)>("SSL_CTX_new")(named<const void*()>("TLS_client_method")());
}
