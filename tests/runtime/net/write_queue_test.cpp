// SPDX-License-Identifier: MIT
#include "runtime/net/write_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace {

using triga::net::write_queue;

// Pieces whose owners write down that they were given back.
struct piece {
  std::string text;
  int released = 0;
};

void release(void* owner) noexcept { ++static_cast<piece*>(owner)->released; }

void push(write_queue& queue, piece& each) { queue.push(each.text.data(), each.text.size(), &each); }

std::string gathered(const write_queue& queue, std::size_t most = 8, std::size_t bytes = SIZE_MAX) {
  std::array<iovec, 8> vector{};
  std::string text;
  for (const iovec& each : queue.gather(std::span(vector).first(most), bytes)) {
    text.append(static_cast<const char*>(each.iov_base), each.iov_len);
  }
  return text;
}

TEST(WriteQueue, GathersNoMoreBytesThanAskedFor) {
  piece first{"one "}, second{"two "};
  write_queue queue(release);
  for (piece* each : {&first, &second}) push(queue, *each);
  EXPECT_EQ(gathered(queue, 8, 6), "one tw");
  EXPECT_EQ(gathered(queue, 8, 4), "one ");
  EXPECT_EQ(gathered(queue, 8, 0), "");
  EXPECT_EQ(gathered(queue, 8, 8), "one two ");
}

TEST(WriteQueue, GathersPiecesInOrderAndAsManyAsFit) {
  piece first{"one "}, second{"two "}, third{"three"};
  write_queue queue(release);
  for (piece* each : {&first, &second, &third}) push(queue, *each);
  EXPECT_EQ(gathered(queue), "one two three");
  EXPECT_EQ(gathered(queue, 2), "one two ");
  EXPECT_EQ(queue.bytes(), 13U);
}

TEST(WriteQueue, ReleasesAPieceWithItsLastByteAndNotBefore) {
  piece first{"abc"}, second{"defg"};
  write_queue queue(release);
  push(queue, first);
  push(queue, second);
  queue.consume(2);
  EXPECT_EQ(first.released, 0);
  queue.consume(3);
  EXPECT_EQ(first.released, 1);
  EXPECT_EQ(second.released, 0);
  EXPECT_EQ(gathered(queue), "fg");
  queue.consume(2);
  EXPECT_EQ(second.released, 1);
  EXPECT_TRUE(queue.empty());
}

TEST(WriteQueue, GivesAnEmptyPieceBackAtOnce) {
  piece nothing{""};
  write_queue queue(release);
  push(queue, nothing);
  EXPECT_EQ(nothing.released, 1);
  EXPECT_TRUE(queue.empty());
}

TEST(WriteQueue, ReleasesEverythingThatIsLeftWhenDestroyed) {
  piece first{"abc"}, second{"def"};
  {
    write_queue queue(release);
    push(queue, first);
    push(queue, second);
    queue.consume(3);
  }
  EXPECT_EQ(first.released, 1);
  EXPECT_EQ(second.released, 1);
}

TEST(WriteQueue, KeepsTheOrderAcrossManyPartialSends) {
  std::vector<piece> pieces(200);
  std::string expected, sent;
  write_queue queue(release);
  std::size_t pushed = 0;
  while (pushed < pieces.size() || !queue.empty()) {
    for (int i = 0; i < 3 && pushed < pieces.size(); ++i) {
      pieces[pushed].text = std::to_string(pushed) + ",";
      expected += pieces[pushed].text;
      push(queue, pieces[pushed++]);
    }
    const std::string front = gathered(queue);
    const std::size_t taken = std::min<std::size_t>(front.size(), 7);
    sent += front.substr(0, taken);
    queue.consume(taken);
  }
  EXPECT_EQ(sent, expected);
  for (const piece& each : pieces) EXPECT_EQ(each.released, 1);
}

}  // namespace
