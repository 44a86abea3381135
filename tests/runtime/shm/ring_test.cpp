// SPDX-License-Identifier: MIT
#include "runtime/shm/ring.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>
#include <deque>
#include <random>
#include <thread>

#include "runtime/shm/segment.h"

namespace {

using namespace triga;
using namespace triga::shm;

constexpr std::size_t capacity = 4096;

// A ring in shared memory, both ends.
struct both_ends {
  segment home = segment::create("ring-test", ring_bytes(capacity)).value_or_throw("segment");
  mapping mapped = home.map(0, ring_bytes(capacity), segment::access::shared).value_or_throw("map");
  ring_writer writer{mapped.bytes(), capacity};
  ring_reader reader{mapped.bytes(), capacity};

  ring_header& header() { return *reinterpret_cast<ring_header*>(mapped.data()); }
  void set_length(std::uint64_t length) {
    std::memcpy(mapped.data() + sizeof(ring_header), &length, sizeof(length));
  }
};

std::vector<std::byte> pattern(std::size_t size, unsigned seed) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>((i * 31 + seed) & 0xFF);
  return bytes;
}

ring_status write(ring_writer& writer, std::span<const std::byte> bytes) {
  const std::array pieces{bytes};
  return writer.try_write(pieces);
}

TEST(Ring, GivesMessagesInOrderWhole) {
  both_ends ring;
  EXPECT_EQ(write(ring.writer, pattern(10, 1)), ring_status::done);
  EXPECT_EQ(write(ring.writer, {}), ring_status::done);
  EXPECT_EQ(write(ring.writer, pattern(33, 2)), ring_status::done);
  std::vector<std::byte> message;
  for (const auto& expected : {pattern(10, 1), pattern(0, 0), pattern(33, 2)}) {
    ASSERT_EQ(ring.reader.try_read(message), ring_status::done);
    EXPECT_EQ(message, expected);
  }
  EXPECT_EQ(ring.reader.try_read(message), ring_status::would_block);
}

TEST(Ring, JoinsThePiecesOfAMessage) {
  both_ends ring;
  const auto whole = pattern(100, 3);
  const std::array pieces{std::span(whole).first(7), std::span(whole).subspan(7, 0),
                          std::span(whole).subspan(7)};
  const std::vector<std::span<const std::byte>> constant(pieces.begin(), pieces.end());
  ASSERT_EQ(ring.writer.try_write(constant), ring_status::done);
  std::vector<std::byte> message;
  ASSERT_EQ(ring.reader.try_read(message), ring_status::done);
  EXPECT_EQ(message, whole);
}

TEST(Ring, RefusesWhatWillNeverFitAndWhatDoesNotFitNow) {
  both_ends ring;
  EXPECT_EQ(write(ring.writer, pattern(ring.writer.largest() + 1, 0)), ring_status::too_large);
  EXPECT_EQ(write(ring.writer, pattern(ring.writer.largest(), 0)), ring_status::done);
  EXPECT_EQ(write(ring.writer, pattern(1, 0)), ring_status::would_block);
  std::vector<std::byte> message;
  ASSERT_EQ(ring.reader.try_read(message), ring_status::done);
  EXPECT_EQ(write(ring.writer, pattern(1, 0)), ring_status::done);
}

TEST(Ring, RandomSizesSurviveWrappingAround) {
  constexpr unsigned seed = 20261123;
  std::mt19937 random(seed);
  both_ends ring;
  std::deque<std::vector<std::byte>> sent;
  std::vector<std::byte> message;
  for (unsigned step = 0; step < 20000; ++step) {
    auto next = pattern(random() % 900, step);
    if (random() % 2 == 0 && write(ring.writer, next) == ring_status::done) sent.push_back(std::move(next));
    if (random() % 2 == 0 && !sent.empty()) {
      ASSERT_EQ(ring.reader.try_read(message), ring_status::done) << "seed " << seed << " step " << step;
      ASSERT_EQ(message, sent.front()) << "seed " << seed << " step " << step;
      sent.pop_front();
    }
  }
}

TEST(Ring, CarriesMessagesBetweenThreads) {
  both_ends ring;
  constexpr unsigned count = 20000;
  std::thread producer([&] {
    for (unsigned i = 0; i < count;) {
      if (write(ring.writer, pattern(i % 300, i)) == ring_status::done) {
        ++i;
      } else {
        std::this_thread::yield();
      }
    }
  });
  std::vector<std::byte> message;
  for (unsigned i = 0; i < count;) {
    if (ring.reader.try_read(message) != ring_status::done) {
      std::this_thread::yield();
      continue;
    }
    EXPECT_EQ(message, pattern(i % 300, i));
    ++i;
  }
  producer.join();
}

TEST(Ring, AParkedReaderIsWokenOnceAndAnAwakeOneNever) {
  both_ends ring;
  EXPECT_EQ(ring.writer.take_parked_reader(), 0U);
  ring.reader.park(7);
  EXPECT_EQ(ring.writer.take_parked_reader(), 7U);
  EXPECT_EQ(ring.writer.take_parked_reader(), 0U);
  ring.reader.park(7);
  ring.reader.park(0);
  EXPECT_EQ(ring.writer.take_parked_reader(), 0U);
}

TEST(Ring, AWriterKilledInMidMessageLeavesTheMessagesBeforeIt) {
  both_ends ring;
  const pid_t child = ::fork();
  if (child == 0) {
    write(ring.writer, pattern(50, 1));
    // What try_write does before it publishes: the bytes of a message, and no head.
    std::memset(ring.mapped.data() + sizeof(ring_header) + 64, 0xEE, 500);
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  std::vector<std::byte> message;
  ASSERT_EQ(ring.reader.try_read(message), ring_status::done);
  EXPECT_EQ(message, pattern(50, 1));
  EXPECT_EQ(ring.reader.try_read(message), ring_status::would_block);
}

TEST(Ring, AHeadBeyondTheCapacityIsCorrupt) {
  std::vector<std::byte> message;
  for (const std::uint64_t head : {capacity + 8, std::size_t{4}, ~std::size_t{0}, ~std::size_t{0} - 7}) {
    both_ends ring;
    ring.header().head.store(head);
    EXPECT_EQ(ring.reader.try_read(message), ring_status::corrupt) << head;
  }
}

TEST(Ring, ALengthBeyondWhatWasWrittenIsCorrupt) {
  std::vector<std::byte> message;
  for (const std::uint64_t length : {9UL, 4096UL, ~0UL, ~0UL - 7, 1UL << 63}) {
    both_ends ring;
    ring.set_length(length);
    ring.header().head.store(16);
    EXPECT_EQ(ring.reader.try_read(message), ring_status::corrupt) << length;
  }
}

TEST(Ring, ATailThatRunsAheadIsCorruptForTheWriter) {
  both_ends ring;
  ring.header().tail.store(1 << 20);
  EXPECT_EQ(write(ring.writer, pattern(1, 0)), ring_status::corrupt);
}

TEST(Ring, RandomNonsenseNeverCrashesTheReader) {
  constexpr unsigned seed = 4711;
  std::mt19937_64 random(seed);
  std::vector<std::byte> message;
  for (int round = 0; round < 300; ++round) {
    both_ends ring;
    for (std::size_t at = 0; at < capacity; at += 8) {
      const std::uint64_t word = random() >> (random() % 64);
      std::memcpy(ring.mapped.data() + sizeof(ring_header) + at, &word, sizeof(word));
    }
    ring.header().head.store(random() % (2 * capacity) & ~std::uint64_t{7});
    for (int i = 0; i < 1000 && ring.reader.try_read(message) == ring_status::done; ++i) {
      ASSERT_LE(message.size(), capacity);
    }
  }
}

}  // namespace
