// SPDX-License-Identifier: MIT
#include "runtime/shm/shared_ring.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>
#include <random>
#include <set>
#include <thread>

#include "runtime/shm/segment.h"

namespace {

using namespace triga;
using namespace triga::shm;
using ring_status = shared_ring::status;
using patience = shared_ring::patience;

constexpr std::size_t shared_capacity = 4096;
constexpr std::uint32_t any = UINT32_MAX;

struct ring_memory {
  segment home =
      segment::create("shared-ring-test", shared_ring::bytes(shared_capacity)).value_or_throw("segment");
  mapping mapped =
      home.map(0, shared_ring::bytes(shared_capacity), segment::access::shared).value_or_throw("map");
  shared_ring ring{mapped.bytes(), shared_capacity};

  shared_ring_header& header() { return *reinterpret_cast<shared_ring_header*>(mapped.data()); }
};

ring_status put(shared_ring& ring, std::span<const std::byte> bytes, std::uint32_t most = any) {
  const std::array pieces{bytes};
  return ring.put(pieces, most, patience::any);
}

// A message that tells its producer, its number in it, and whether it is whole.
struct numbered {
  std::uint32_t producer;
  std::uint32_t number;
  std::uint64_t check;
};

numbered make_numbered(std::uint32_t producer, std::uint32_t number) {
  return {producer, number, producer * 1'000'003ULL + number};
}

std::span<const std::byte> bytes_of(const numbered& message) {
  return std::as_bytes(std::span<const numbered, 1>(&message, 1));
}

numbered read_numbered(const std::vector<std::byte>& raw) {
  numbered message{};
  EXPECT_EQ(raw.size(), sizeof(message));
  std::memcpy(&message, raw.data(), std::min(sizeof(message), raw.size()));
  EXPECT_EQ(message.check, make_numbered(message.producer, message.number).check);
  return message;
}

TEST(SharedRing, GivesMessagesInOrderWhole) {
  ring_memory memory;
  std::vector<std::byte> message;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    ASSERT_EQ(put(memory.ring, bytes_of(make_numbered(1, i))), ring_status::done);
    ASSERT_EQ(memory.ring.size(), 1U);
    ASSERT_EQ(memory.ring.take(message, patience::any), ring_status::done);
    EXPECT_EQ(read_numbered(message).number, i);
  }
  EXPECT_EQ(memory.ring.take(message, patience::any), ring_status::empty);
  EXPECT_EQ(memory.ring.puts(), 1000U);
}

TEST(SharedRing, RefusesWhatDoesNotFitAndWhatIsOneTooMany) {
  ring_memory memory;
  const std::vector<std::byte> all(shared_capacity - 8);
  const std::vector<std::byte> more(shared_capacity);
  EXPECT_EQ(put(memory.ring, more), ring_status::too_large);
  EXPECT_EQ(put(memory.ring, all), ring_status::done);
  EXPECT_EQ(put(memory.ring, {}), ring_status::no_space);
  std::vector<std::byte> message;
  EXPECT_EQ(memory.ring.take(message, patience::any), ring_status::done);
  EXPECT_EQ(message.size(), all.size());
  EXPECT_EQ(put(memory.ring, {}, 1), ring_status::done);
  EXPECT_EQ(put(memory.ring, {}, 1), ring_status::full);
}

TEST(SharedRing, NonsenseIsCorrupt) {
  ring_memory memory;
  std::vector<std::byte> message;
  const std::vector<std::byte> some(16);
  ASSERT_EQ(put(memory.ring, some), ring_status::done);
  const std::uint64_t length = std::uint64_t{1} << 62U;
  std::memcpy(memory.mapped.data() + sizeof(shared_ring_header), &length, sizeof(length));
  EXPECT_EQ(memory.ring.take(message, patience::any), ring_status::corrupt);
  memory.header().head.store(0x0000'0001'7FFF'FFFFULL);
  EXPECT_EQ(memory.ring.take(message, patience::any), ring_status::corrupt);
  EXPECT_EQ(put(memory.ring, some), ring_status::corrupt);
}

TEST(SharedRing, ThreadsLoseNothingAndKeepEachProducersOrder) {
  ring_memory memory;
  constexpr std::uint32_t producers = 3;
  constexpr std::uint32_t each = 2000;
  std::atomic<std::uint32_t> taken{0};
  const auto produce = [&](std::uint32_t producer) {
    for (std::uint32_t i = 0; i < each;) {
      if (put(memory.ring, bytes_of(make_numbered(producer, i))) == ring_status::done) {
        ++i;
      } else {
        std::this_thread::yield();
      }
    }
  };
  const auto consume = [&] {
    std::array<std::int64_t, producers> last{-1, -1, -1};
    std::vector<std::byte> raw;
    while (taken.load() < producers * each) {
      if (memory.ring.take(raw, patience::any) != ring_status::done) {
        std::this_thread::yield();
        continue;
      }
      taken.fetch_add(1);
      const numbered message = read_numbered(raw);
      EXPECT_GT(std::int64_t{message.number}, last.at(message.producer));
      last.at(message.producer) = message.number;
    }
  };
  std::vector<std::thread> threads;
  for (std::uint32_t i = 0; i < producers; ++i) threads.emplace_back(produce, i);
  for (int i = 0; i < 2; ++i) threads.emplace_back(consume);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(memory.ring.size(), 0U);
}

// The mechanism: the child dies with the lock. The parent, which has not reaped it, must not wait for a
// zombie.
TEST(OwnerLock, IsTakenOverFromTheDead) {
  ring_memory memory;
  const pid_t child = fork();
  if (child == 0) {
    if (memory.header().putting.lock() != owner_lock::status::locked) _exit(1);
    ::kill(getpid(), SIGKILL);
  }
  siginfo_t about{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &about, WEXITED | WNOWAIT), 0);
  ASSERT_EQ(about.si_code, CLD_KILLED);
  EXPECT_EQ(memory.header().putting.try_lock(), owner_lock::status::busy);
  EXPECT_EQ(memory.header().putting.lock(), owner_lock::status::recovered);
  memory.header().putting.unlock();
  EXPECT_EQ(memory.header().putting.lock(), owner_lock::status::locked);
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
}

TEST(OwnerLock, KnowsAForkedChildFromItsParent) {
  const process_name here = this_process();
  const pid_t child = fork();
  if (child == 0) _exit(this_process() != here && !is_gone(here) && !is_gone(this_process()) ? 0 : 1);
  int code = -1;
  ASSERT_EQ(waitpid(child, &code, 0), child);
  EXPECT_EQ(code, 0);
  EXPECT_EQ(this_process(), here);
}

TEST(OwnerLock, ProcessWithTheSamePidThatBeganAtAnotherTimeIsAnother) {
  const process_name here = this_process();
  EXPECT_FALSE(is_gone(here));
  EXPECT_TRUE(is_gone(here ^ (std::uint64_t{1} << 40U)));
}

// Producers and consumers are killed at any instruction, again and again; the others go on. What a dead
// producer had put is whole, and what a dead consumer had taken is gone with it, at most one message each.
TEST(SharedRing, SurvivesProcessesKilledAtAnyInstruction) {
  ring_memory memory;
  std::mt19937 random(5);
  constexpr std::uint32_t rounds = 60;
  for (std::uint32_t round = 0; round < rounds; ++round) {
    const bool consumer = random() % 2 == 0;
    const pid_t child = fork();
    if (child == 0) {
      std::vector<std::byte> raw;
      for (std::uint32_t i = 0;; ++i) {
        if (consumer) {
          memory.ring.take(raw, patience::any);
        } else {
          put(memory.ring, bytes_of(make_numbered(round, i)));
        }
      }
    }
    std::vector<std::byte> raw;
    std::set<std::uint32_t> seen;
    const auto until = monotonic_clock::now() + std::chrono::microseconds(200 + random() % 3000);
    for (std::uint32_t i = 0; monotonic_clock::now() < until; ++i) {
      put(memory.ring, bytes_of(make_numbered(rounds, i)));
      if (memory.ring.take(raw, patience::any) == ring_status::done) read_numbered(raw);
    }
    ::kill(child, SIGKILL);
    ring_status taken = ring_status::done;
    while ((taken = memory.ring.take(raw, patience::any)) != ring_status::empty) {
      ASSERT_TRUE(taken == ring_status::done || taken == ring_status::recovered);
      read_numbered(raw);
    }
    const ring_status alive = put(memory.ring, bytes_of(make_numbered(rounds, 0)));
    ASSERT_TRUE(alive == ring_status::done || alive == ring_status::recovered);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
  }
}

}  // namespace
