// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace triga::codec {

struct crypto;  // the functions of libcrypto that are called

// A hash algorithm of the system's OpenSSL: SHA-2 and SHA-3, BLAKE2, MD5 and whatever else it offers.
class digest_algorithm {
 public:
  // `name` as hashlib has it ("sha256", "sha3_256", "blake2b") or as OpenSSL has it. `beside`: see library.
  // Throws library_missing; std::invalid_argument if there is no such algorithm, or none with digests of one
  // size.
  explicit digest_algorithm(const std::string& name, const std::string& beside = {});

  // Bytes of a digest.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  friend class digest;
  const void* method_ = nullptr;  // an EVP_MD, which OpenSSL keeps
  std::size_t size_ = 0;
};

// One computation of a digest. Usable by one thread at a time, and for any number of computations.
class digest {
 public:
  // Throws std::bad_alloc.
  explicit digest(const digest_algorithm& algorithm);

  // Begins anew. This and the next two return false where OpenSSL refuses (an algorithm that a policy such as
  // FIPS forbids).
  [[nodiscard]] bool start() noexcept;
  [[nodiscard]] bool update(std::span<const std::byte> data) noexcept;
  // Writes algorithm.size() bytes.
  [[nodiscard]] bool finish(std::span<std::byte> result) noexcept;

 private:
  const digest_algorithm& algorithm_;
  const crypto& openssl_;
  std::unique_ptr<void, void (*)(void*)> context_;  // an EVP_MD_CTX
};

}  // namespace triga::codec
