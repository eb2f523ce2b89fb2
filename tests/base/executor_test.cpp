#include "rarefy/executor.h"

#include <gmock/gmock.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include "rarefy/error.h"

namespace rarefy {
namespace {

class ExecutorTest : public testing::TestWithParam<int> {
 protected:
  std::unique_ptr<Executor> pool_ = make_thread_pool(GetParam());
};

TEST_P(ExecutorTest, runs_each_part_once) {
  EXPECT_EQ(pool_->concurrency(), GetParam());
  for (const std::int64_t parts : {0, 1, 2, 3, 17, 1000}) {
    std::vector<std::atomic<int>> count(static_cast<std::size_t>(parts));
    pool_->parallel_for(parts, [&](std::int64_t part, int) { count[static_cast<std::size_t>(part)]++; });
    for (const auto& c : count) EXPECT_EQ(c.load(), 1);
  }
}

TEST_P(ExecutorTest, worker_numbers_are_in_range_and_exclusive) {
  std::vector<std::atomic<int>> inside(static_cast<std::size_t>(pool_->concurrency()));
  std::atomic<int> wrong{0};
  pool_->parallel_for(500, [&](std::int64_t, int worker) {
    if (worker < 0 || worker >= pool_->concurrency()) {
      wrong++;
      return;
    }
    if (inside[static_cast<std::size_t>(worker)]++ != 0) wrong++;
    std::this_thread::yield();
    inside[static_cast<std::size_t>(worker)]--;
  });
  EXPECT_EQ(wrong.load(), 0);
}

TEST_P(ExecutorTest, rethrows_the_exception_of_a_part_and_stays_usable) {
  for (int round = 0; round < 20; ++round) {
    try {
      pool_->parallel_for(100, [](std::int64_t part, int) {
        if (part == 13) throw std::runtime_error("part 13");
      });
      ADD_FAILURE() << "no exception";
    } catch (const std::runtime_error& e) {
      EXPECT_STREQ(e.what(), "part 13");
    }
    std::atomic<std::int64_t> sum{0};
    pool_->parallel_for(100, [&](std::int64_t part, int) { sum += part; });
    EXPECT_EQ(sum.load(), 4950);
  }
}

TEST_P(ExecutorTest, drops_parts_after_an_exception) {
  std::atomic<int> ran{0};
  EXPECT_THROW(pool_->parallel_for(1'000'000,
                                   [&](std::int64_t, int) {
                                     ran++;
                                     throw std::runtime_error("stop");
                                   }),
               std::runtime_error);
  EXPECT_LE(ran.load(), GetParam());
}

TEST_P(ExecutorTest, makes_what_parts_wrote_visible_to_the_caller) {
  std::vector<std::int64_t> values(4096);
  for (int round = 0; round < 50; ++round) {
    pool_->parallel_for(64, [&](std::int64_t part, int) {
      for (std::int64_t i = part * 64; i < (part + 1) * 64; ++i) values[static_cast<std::size_t>(i)] = i * round;
    });
    for (std::int64_t i = 0; i < 4096; ++i) ASSERT_EQ(values[static_cast<std::size_t>(i)], i * round);
  }
}

TEST_P(ExecutorTest, serves_several_callers_in_turn) {
  std::atomic<std::int64_t> sum{0};
  auto caller = [&] {
    for (int round = 0; round < 50; ++round) pool_->parallel_for(10, [&](std::int64_t part, int) { sum += part; });
  };
  std::thread other(caller);
  caller();
  other.join();
  EXPECT_EQ(sum.load(), 2 * 50 * 45);
}

INSTANTIATE_TEST_SUITE_P(Threads, ExecutorTest, testing::Values(1, 2, 4));

TEST(Executor, serial_runs_in_order_as_worker_zero) {
  std::vector<std::int64_t> order;
  serial_executor().parallel_for(4, [&](std::int64_t part, int worker) {
    EXPECT_EQ(worker, 0);
    order.push_back(part);
  });
  EXPECT_THAT(order, testing::ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(serial_executor().concurrency(), 1);
}

TEST(Executor, refuses_absurd_thread_counts) {
  for (const int threads : {0, -1, 1025}) {
    try {
      make_thread_pool(threads);
      ADD_FAILURE() << threads;
    } catch (const UsageError& e) {
      EXPECT_THAT(e.what(), testing::HasSubstr(std::to_string(threads)));
    }
  }
}

}  // namespace
}  // namespace rarefy
