// SPDX-License-Identifier: MIT
#include "runtime/codec/digest.h"

#include <array>
#include <new>
#include <stdexcept>
#include <utility>

#include "runtime/codec/library.h"

namespace triga::codec {
namespace {}  // namespace

// Pointers to libcrypto's types are passed as they come.
struct crypto {
  const void* (*get_digestbyname)(const char* name) = nullptr;
  int (*size)(const void* method) = nullptr;
  unsigned long (*flags)(const void* method) = nullptr;
  void* (*context_new)() = nullptr;
  void (*context_free)(void* context) = nullptr;
  int (*init)(void* context, const void* method, void* engine) = nullptr;
  int (*update)(void* context, const void* data, std::size_t size) = nullptr;
  int (*final)(void* context, unsigned char* result, unsigned int* size) = nullptr;

  explicit crypto(const std::string& beside) {
    static constexpr std::array<const char*, 2> names = {"libcrypto.so.3", "libcrypto.so.1.1"};
    const library found(names, "libssl3", beside);
    found.find("EVP_get_digestbyname", get_digestbyname);
    // OpenSSL 3 renamed these two.
    if (!found.try_find("EVP_MD_get_size", size)) found.find("EVP_MD_size", size);
    if (!found.try_find("EVP_MD_get_flags", flags)) found.find("EVP_MD_flags", flags);
    found.find("EVP_MD_CTX_new", context_new);
    found.find("EVP_MD_CTX_free", context_free);
    found.find("EVP_DigestInit_ex", init);
    found.find("EVP_DigestUpdate", update);
    found.find("EVP_DigestFinal_ex", final);
  }
};

namespace {

// Loaded at the first use; a failure is thrown at each.
const crypto& functions(const std::string& beside = {}) {
  static const crypto loaded(beside);
  return loaded;
}

// hashlib's names that are not OpenSSL's.
std::string openssl_name(std::string name) {
  static const std::array<std::pair<const char*, const char*>, 6> others = {{
      {"sha3_224", "sha3-224"},
      {"sha3_256", "sha3-256"},
      {"sha3_384", "sha3-384"},
      {"sha3_512", "sha3-512"},
      {"blake2b", "blake2b512"},
      {"blake2s", "blake2s256"},
  }};
  for (const auto& [hashlibs, openssls] : others) {
    if (name == hashlibs) return openssls;
  }
  return name;
}

constexpr unsigned long extendable_output = 0x2;  // EVP_MD_FLAG_XOF: SHAKE

}  // namespace

digest_algorithm::digest_algorithm(const std::string& name, const std::string& beside) {
  const crypto& openssl = functions(beside);
  method_ = openssl.get_digestbyname(openssl_name(name).c_str());
  if (method_ == nullptr) throw std::invalid_argument("unsupported hash type " + name);
  if ((openssl.flags(method_) & extendable_output) != 0) {
    throw std::invalid_argument("hash type " + name +
                                " has digests of any length; use one with a fixed length");
  }
  size_ = static_cast<std::size_t>(openssl.size(method_));
}

digest::digest(const digest_algorithm& algorithm)
    : algorithm_(algorithm), openssl_(functions()), context_(openssl_.context_new(), openssl_.context_free) {
  if (context_ == nullptr) throw std::bad_alloc();
}

bool digest::start() noexcept { return openssl_.init(context_.get(), algorithm_.method_, nullptr) == 1; }

bool digest::update(std::span<const std::byte> data) noexcept {
  return openssl_.update(context_.get(), data.data(), data.size()) == 1;
}

bool digest::finish(std::span<std::byte> result) noexcept {
  if (result.size() < algorithm_.size()) return false;
  return openssl_.final(context_.get(), reinterpret_cast<unsigned char*>(result.data()), nullptr) == 1;
}

}  // namespace triga::codec
