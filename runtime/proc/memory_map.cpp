// SPDX-License-Identifier: MIT
#include "runtime/proc/memory_map.h"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstring>

namespace triga::proc {
namespace {

std::string_view take_word(std::string_view& text, char end) noexcept {
  const std::size_t size = text.find(end);
  const std::string_view word = text.substr(0, size);
  text.remove_prefix(size == std::string_view::npos ? text.size() : size + 1);
  return word;
}

std::uintptr_t hexadecimal(std::string_view digits) noexcept {
  std::uintptr_t number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
  return number;
}

// "start-end rwxp offset device inode path"
mapping parse_mapping(std::string_view line) noexcept {
  mapping found;
  found.start = hexadecimal(take_word(line, '-'));
  found.end = hexadecimal(take_word(line, ' '));
  found.is_private_data = take_word(line, ' ') == "rw-p";
  take_word(line, ' ');
  take_word(line, ' ');
  found.has_file = take_word(line, ' ') != "0";
  return found;
}

}  // namespace

memory_map_reader::memory_map_reader(std::span<char> room) noexcept
    : file_(::open("/proc/self/maps", O_RDONLY | O_CLOEXEC)), room_(room), unread_(room.data(), 0) {}

bool memory_map_reader::read_more() noexcept {
  const std::size_t kept = unread_.size();
  if (!file_ || kept == room_.size()) return false;
  std::memmove(room_.data(), unread_.data(), kept);
  const ssize_t got = ::read(file_.get(), room_.data() + kept, room_.size() - kept);
  if (got <= 0) return false;
  unread_ = {room_.data(), kept + static_cast<std::size_t>(got)};
  return true;
}

const mapping* memory_map_reader::next() noexcept {
  while (unread_.find('\n') == std::string_view::npos) {
    if (!read_more()) return nullptr;
  }
  current_ = parse_mapping(take_word(unread_, '\n'));
  return &current_;
}

std::vector<mapping> memory_map() {
  constexpr std::size_t room = 8192;
  std::vector<char> memory(room);
  memory_map_reader reader(memory);
  std::vector<mapping> found;
  while (const mapping* each = reader.next()) found.push_back(*each);
  return found;
}

}  // namespace triga::proc
