// SPDX-License-Identifier: MIT
#include "runtime/shm/segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace triga::shm {
namespace {

constexpr int size_seals = F_SEAL_GROW | F_SEAL_SHRINK;
constexpr std::uint64_t page_mask = 4095;
// read(2) and write(2) move at most 0x7ffff000 bytes a call.
constexpr std::size_t largest_transfer = std::size_t{1} << 30;

}  // namespace

mapping::~mapping() {
  if (data_ == nullptr) return;
  const std::uintptr_t start = reinterpret_cast<std::uintptr_t>(data_) & ~page_mask;
  ::munmap(reinterpret_cast<void*>(start), size_ + (reinterpret_cast<std::uintptr_t>(data_) - start));
}

// A kernel before 5.14 does not know the advice; then pages are mapped as they are touched.
void map_pages(std::span<std::byte> memory) noexcept {
  constexpr int populate_read = 22;  // MADV_POPULATE_READ
  ::madvise(memory.data(), memory.size(), populate_read);
}

result<segment> segment::create(const char* name, std::uint64_t size) {
  unique_fd descriptor(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!descriptor) return result<segment>::last_error();
  if (::ftruncate(descriptor.get(), static_cast<off_t>(size)) != 0) return result<segment>::last_error();
  if (::fcntl(descriptor.get(), F_ADD_SEALS, size_seals | F_SEAL_SEAL) != 0)
    return result<segment>::last_error();
  return segment(std::move(descriptor), size);
}

result<segment> segment::adopt(unique_fd descriptor) {
  const int seals = ::fcntl(descriptor.get(), F_GET_SEALS);
  if (seals < 0) return result<segment>::last_error();
  struct stat about{};
  if (::fstat(descriptor.get(), &about) != 0) return result<segment>::last_error();
  if ((seals & size_seals) != size_seals || about.st_size <= 0) return result<segment>::failure(EINVAL);
  return segment(std::move(descriptor), static_cast<std::uint64_t>(about.st_size));
}

result<mapping> segment::map(std::uint64_t offset, std::size_t length, access how) const {
  if (length == 0 || offset > size_ || length > size_ - offset) return result<mapping>::failure(EINVAL);
  const std::uint64_t start = offset & ~page_mask;
  const auto lead = static_cast<std::size_t>(offset - start);
  const int flags = how == access::shared ? MAP_SHARED : MAP_PRIVATE;
  void* const address = ::mmap(nullptr, length + lead, PROT_READ | PROT_WRITE, flags, descriptor_.get(),
                               static_cast<off_t>(start));
  if (address == MAP_FAILED) return result<mapping>::last_error();
  return mapping(static_cast<std::byte*>(address) + lead, length);
}

int segment::write_at(std::uint64_t offset, std::span<const std::byte> bytes) const noexcept {
  while (!bytes.empty()) {
    const ssize_t done = ::pwrite(descriptor_.get(), bytes.data(), std::min(bytes.size(), largest_transfer),
                                  static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return done < 0 ? errno : ENOSPC;
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    offset += static_cast<std::uint64_t>(done);
  }
  return 0;
}

int segment::read_at(std::uint64_t offset, std::span<std::byte> bytes) const noexcept {
  while (!bytes.empty()) {
    const ssize_t done = ::pread(descriptor_.get(), bytes.data(), std::min(bytes.size(), largest_transfer),
                                 static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return done < 0 ? errno : EINVAL;
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    offset += static_cast<std::uint64_t>(done);
  }
  return 0;
}

std::uint64_t segment::present() const noexcept {
  struct stat about{};
  return ::fstat(descriptor_.get(), &about) == 0 ? static_cast<std::uint64_t>(about.st_blocks) * 512 : 0;
}

void segment::discard(std::uint64_t offset, std::uint64_t length) const noexcept {
  if (length == 0) return;
  // A page that a hole covers in part is only zeroed: the last one would stay for ever.
  const std::uint64_t end = (offset + length + page_mask) & ~page_mask;
  ::fallocate(descriptor_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
              static_cast<off_t>(end - offset));
}

}  // namespace triga::shm
