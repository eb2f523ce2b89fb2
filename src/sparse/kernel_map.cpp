#include "sparse/kernel_map.h"

#include <algorithm>
#include <array>
#include <limits>
#include <span>

#include "base/check.h"

namespace rarefy {
namespace {

constexpr std::int64_t kBlock = KernelMap::kBlockRows;
constexpr std::size_t kMaxRun = 7;  // largest kernel size

/// Consecutive offsets along the last axis: their sites are neighbours in key order, so one merge finds them all.
struct Run {
  std::int64_t first = 0;   ///< first offset
  int length = 0;           ///< offsets of the run that are searched (1..7)
  std::uint64_t delta = 0;  ///< from an output key to the input key of the first offset
};

/// What the passes share.
struct Build {
  const Coords& out;
  KernelMap& map;
  std::int64_t in_rows;
  const std::uint64_t* in_keys;  ///< with a sentinel at the end
  std::uint64_t step;            ///< between the keys of consecutive offsets of a run
  bool symmetric;                ///< pair (i, o, k) implies (o, i, K - 1 - k)
};

bool is_symmetric(const Coords& in, const Coords& out, const KernelShape& kernel) {
  const Extent low = kernel.offset(0);
  const Extent high = kernel.offset(kernel.volume() - 1);
  for (int a = 0; a < kernel.dims; ++a) {
    if (low[a] != -high[a]) return false;
  }
  return &in == &out || in.keys == out.keys;
}

/// Run number r of `runs`; of symmetric maps only offsets before the centre are searched.
Run get_run(const KernelShape& kernel, const KeyLayout& layout, const Extent& in_stride, std::int64_t r, int run_length,
            bool symmetric) {
  Run run;
  run.first = r * run_length;
  const std::int64_t end = symmetric ? (kernel.volume() - 1) / 2 : kernel.volume();
  run.length = static_cast<int>(std::clamp<std::int64_t>(end - run.first, 0, run_length));
  Extent offset = kernel.offset(run.first);
  for (int a = 0; a < kernel.dims; ++a) offset[a] *= in_stride[a];
  run.delta = key_delta(layout, offset.data());
  return run;
}

/// A candidate is an output row whose first input row at or above the run's first site lies within the run.
std::uint64_t candidate(std::int64_t out_row, std::int64_t in_row) {
  return static_cast<std::uint64_t>(out_row) << 32 | static_cast<std::uint64_t>(in_row);
}
std::int64_t out_row_of(std::uint64_t candidate) { return static_cast<std::int64_t>(candidate >> 32); }
std::int64_t in_row_of(std::uint64_t candidate) { return static_cast<std::int64_t>(candidate & 0xFFFFFFFFu); }

/// Merges output rows [row, end) with input rows from in_row on and keeps the candidates. Each step advances one of the
/// two sides, free of branches that depend on the data: in a real scan most rows have no neighbour in most columns, and
/// which cannot be predicted.
struct Lane {
  std::int64_t row;
  std::int64_t end;
  std::int64_t in_row;
  std::uint64_t* next;  ///< where the next candidate goes

  void step(const std::uint64_t* in_keys, const std::uint64_t* out_keys, std::uint64_t delta, std::uint64_t span) {
    const std::uint64_t key = in_keys[in_row];
    const std::uint64_t wanted = out_keys[row] + delta;
    *next = candidate(row, in_row);
    next += key - wanted <= span;     // not when key < wanted: the difference is then huge
    const bool below = key < wanted;  // never at the sentinel
    in_row += below;
    row += !below;
  }
};

/// Candidates of a run, in order of the output rows. @return their number
std::size_t merge(const Build& b, const Run& run, std::vector<std::uint64_t>& candidates) {
  constexpr std::int64_t kLaneRows = 1024;
  const std::uint64_t* in_keys = b.in_keys;
  const std::uint64_t* in_end = in_keys + b.in_rows;
  const std::uint64_t* out_keys = b.out.keys.data();
  const std::int64_t rows = b.out.rows();
  const std::uint64_t span = b.step * static_cast<std::uint64_t>(run.length - 1);
  std::array<std::uint64_t, kLaneRows + 1> second_found;
  std::size_t n = 0;
  std::int64_t in_row = 0;
  for (std::int64_t o = 0; o < rows; o += 2 * kLaneRows) {
    const std::int64_t middle = std::min(o + kLaneRows, rows);
    const std::int64_t end = std::min(middle + kLaneRows, rows);
    const std::size_t room = n + static_cast<std::size_t>(end - o) + 1;
    if (candidates.size() < room) candidates.resize(room);
    // A step waits for the one before it: two lanes at a time hide half of that.
    Lane first{o, middle, in_row, candidates.data() + n};
    Lane second{middle, end, in_row, second_found.data()};
    if (middle < end)
      second.in_row = std::lower_bound(in_keys + in_row, in_end, out_keys[middle] + run.delta) - in_keys;
    while (first.row < first.end && second.row < second.end) {
      first.step(in_keys, out_keys, run.delta, span);
      second.step(in_keys, out_keys, run.delta, span);
    }
    while (first.row < first.end) first.step(in_keys, out_keys, run.delta, span);
    while (second.row < second.end) second.step(in_keys, out_keys, run.delta, span);
    std::copy(second_found.data(), second.next, first.next);
    n = static_cast<std::size_t>(first.next - candidates.data()) +
        static_cast<std::size_t>(second.next - second_found.data());
    in_row = second.in_row;
  }
  return n;
}

/// Pairs of the rows of one block for the offsets of a run.
struct Hits {
  std::array<std::array<std::int32_t, kBlock>, kMaxRun> in_row;
  std::array<std::array<std::int32_t, kBlock>, kMaxRun> out_row;
  std::array<std::int32_t, kMaxRun> count;
};

template <std::size_t kLength>
void find_hits(const Build& b, const Run& run, std::span<const std::uint64_t> candidates, Hits& hits) {
  const std::uint64_t* out_keys = b.out.keys.data();
  std::array<std::int32_t, kLength> count{};
  for (const std::uint64_t c : candidates) {
    const std::int64_t o = out_row_of(c);
    std::int64_t i = in_row_of(c);
    std::uint64_t wanted = out_keys[o] + run.delta;
    for (std::size_t s = 0; s < kLength; ++s) {
      const bool hit = b.in_keys[i] == wanted && i < b.in_rows;
      hits.in_row[s][static_cast<std::size_t>(count[s])] = static_cast<std::int32_t>(i);
      hits.out_row[s][static_cast<std::size_t>(count[s])] = static_cast<std::int32_t>(o);
      count[s] += hit;
      i += hit;
      wanted += b.step;
    }
  }
  std::copy(count.begin(), count.end(), hits.count.begin());
}

using FindHits = void (*)(const Build&, const Run&, std::span<const std::uint64_t>, Hits&);
constexpr FindHits kFindHits[kMaxRun] = {find_hits<1>, find_hits<2>, find_hits<3>, find_hits<4>,
                                         find_hits<5>, find_hits<6>, find_hits<7>};

/// Calls f(block, hits) for all blocks that have candidates, in order.
template <class F>
void for_each_block(const Build& b, const Run& run, std::span<const std::uint64_t> candidates, F f) {
  Hits hits;
  const FindHits find = kFindHits[run.length - 1];
  std::size_t begin = 0;
  while (begin < candidates.size()) {
    const std::int64_t block = out_row_of(candidates[begin]) / kBlock;
    std::size_t end = begin;
    while (end < candidates.size() && out_row_of(candidates[end]) < (block + 1) * kBlock) ++end;
    find(b, run, candidates.subspan(begin, end - begin), hits);
    f(block, hits);
    begin = end;
  }
}

/// Adds the pairs of a run to begin[segment + 1], segments counted as block * K + offset.
void count_run(const Build& b, const Run& run, std::span<const std::uint64_t> candidates) {
  const std::int64_t volume = b.map.volume;
  std::int64_t* count = b.map.begin.data() + 1;
  for_each_block(b, run, candidates, [&](std::int64_t block, const Hits& hits) {
    for (int s = 0; s < run.length; ++s) {
      const std::int64_t k = run.first + s;
      const auto column = static_cast<std::size_t>(s);
      count[block * volume + k] += hits.count[column];
      if (!b.symmetric) continue;
      for (std::int32_t p = 0; p < hits.count[column]; ++p) {
        ++count[hits.in_row[column][static_cast<std::size_t>(p)] / kBlock * volume + volume - 1 - k];
      }
    }
  });
}

void fill_run(const Build& b, const Run& run, std::span<const std::uint64_t> candidates) {
  const std::int64_t volume = b.map.volume;
  const std::int64_t* begin = b.map.begin.data();
  std::int32_t* in_row = b.map.in_row.data();
  std::int32_t* out_row = b.map.out_row.data();
  std::array<std::int64_t, kMaxRun> mirror_block;
  std::array<std::int64_t, kMaxRun> mirror_next{};
  mirror_block.fill(-1);
  for_each_block(b, run, candidates, [&](std::int64_t block, const Hits& hits) {
    for (int s = 0; s < run.length; ++s) {
      const std::int64_t k = run.first + s;
      const auto column = static_cast<std::size_t>(s);
      const auto n = static_cast<std::size_t>(hits.count[column]);
      const std::int64_t at = begin[block * volume + k];
      std::copy_n(hits.in_row[column].begin(), n, in_row + at);
      std::copy_n(hits.out_row[column].begin(), n, out_row + at);
      if (!b.symmetric) continue;
      // Input rows of one offset ascend, so the mirrored pairs fill the segments of (their block, K - 1 - k) in order.
      for (std::size_t p = 0; p < n; ++p) {
        const std::int32_t i = hits.in_row[column][p];
        if (i / kBlock != mirror_block[column]) {
          mirror_block[column] = i / kBlock;
          mirror_next[column] = begin[i / kBlock * volume + volume - 1 - k];
        }
        in_row[mirror_next[column]] = hits.out_row[column][p];
        out_row[mirror_next[column]++] = i;
      }
    }
  });
}

/// The centre of a symmetric map joins each row with itself.
void count_centre(const Build& b) {
  for (std::int64_t block = 0; block < b.map.blocks(); ++block) {
    b.map.begin[static_cast<std::size_t>(block * b.map.volume + (b.map.volume - 1) / 2 + 1)] =
        std::min(kBlock, b.map.out_rows - block * kBlock);
  }
}

void fill_centre(const Build& b) {
  const std::int64_t n = b.out.rows();
  for (std::int64_t block = 0; block * kBlock < n; ++block) {
    std::int64_t at = b.map.begin[static_cast<std::size_t>(block * b.map.volume + (b.map.volume - 1) / 2)];
    for (std::int64_t o = block * kBlock; o < std::min((block + 1) * kBlock, n); ++o, ++at) {
      b.map.in_row[static_cast<std::size_t>(at)] = static_cast<std::int32_t>(o);
      b.map.out_row[static_cast<std::size_t>(at)] = static_cast<std::int32_t>(o);
    }
  }
}

/// Turns counts into starts; count of segment s is at begin[s + 1].
void finish_counts(KernelMap& map) {
  for (std::size_t s = 1; s < map.begin.size(); ++s) map.begin[s] += map.begin[s - 1];
  const auto pairs = static_cast<std::size_t>(map.begin.back());
  map.in_row.resize(pairs);
  map.out_row.resize(pairs);
}

void check_build(const Coords& in, const Coords& out, const KernelShape& kernel) {
  RAREFY_CHECK(in.dims == kernel.dims && out.dims == kernel.dims, ShapeError,
               "the kernel has {} dimensions, the input coordinates {}, the output coordinates {}", kernel.dims,
               in.dims, out.dims);
  check_kernel(kernel, in.stride);
  for (int a = 0; a < in.dims; ++a) {
    RAREFY_CHECK(
        out.stride[a] >= in.stride[a], ShapeError,
        "the output's stride along {} is {}, below the input's {}: build the map the other way round and transpose it",
        kAxisName[a], out.stride[a], in.stride[a]);
  }
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  RAREFY_CHECK(in.rows() <= kMost && out.rows() <= kMost, ShapeError,
               "{} input and {} output rows: at most {} can be numbered", in.rows(), out.rows(), kMost);
}

}  // namespace

void build_kernel_map(const Coords& in, const Coords& out, const KernelShape& kernel, Executor& executor,
                      KernelMap& map) {
  check_build(in, out, kernel);
  const KeyLayout layout = key_layout(in.dims);
  const int last = in.dims - 1;
  map.in_rows = in.rows();
  map.out_rows = out.rows();
  map.volume = kernel.volume();
  map.begin.assign(static_cast<std::size_t>(map.blocks() * map.volume + 1), 0);
  map.scratch.keys.resize(in.keys.size() + 1);
  std::copy(in.keys.begin(), in.keys.end(), map.scratch.keys.begin());
  map.scratch.keys.back() = ~std::uint64_t{0};

  const Build b{out,
                map,
                in.rows(),
                map.scratch.keys.data(),
                static_cast<std::uint64_t>(in.stride[last]),
                is_symmetric(in, out, kernel)};
  // With a dilated last axis other sites may lie between those of a run: each offset is then a run of its own.
  const int run_length = kernel.dilation[last] == 1 ? kernel.size[last] : 1;
  std::int64_t runs = map.volume / run_length;
  if (b.symmetric) runs = (runs + 1) / 2;
  KernelMapScratch& scratch = map.scratch;
  if (static_cast<std::int64_t>(scratch.candidates.size()) < runs) {
    scratch.candidates.resize(static_cast<std::size_t>(runs));
    scratch.candidate_count.resize(static_cast<std::size_t>(runs));
  }
  // f(run, candidates) for all runs that search for something.
  const auto for_each_run = [&](auto find_candidates, auto f) {
    executor.parallel_for(runs, [&](std::int64_t part, int) {
      const Run run = get_run(kernel, layout, in.stride, part, run_length, b.symmetric);
      if (run.length == 0) return;
      const auto r = static_cast<std::size_t>(part);
      if (find_candidates) scratch.candidate_count[r] = merge(b, run, scratch.candidates[r]);
      f(b, run, std::span<const std::uint64_t>(scratch.candidates[r].data(), scratch.candidate_count[r]));
    });
  };
  for_each_run(std::true_type{}, count_run);
  if (b.symmetric) count_centre(b);
  finish_counts(map);
  for_each_run(std::false_type{}, fill_run);
  if (b.symmetric) fill_centre(b);
}

void transpose_map(const KernelMap& map, Executor& executor, KernelMap& out) {
  RAREFY_ASSERT(&map != &out);
  out.in_rows = map.out_rows;
  out.out_rows = map.in_rows;
  out.volume = map.volume;
  out.begin.assign(static_cast<std::size_t>(out.blocks() * out.volume + 1), 0);
  // For one offset, rows ascend together: its pairs, read in order, fill its segments of the result in order.
  const auto for_each_pair = [&](std::int64_t k, auto f) {
    for (std::int64_t block = 0; block < map.blocks(); ++block) {
      const std::size_t segment = static_cast<std::size_t>(block * map.volume + k);
      for (std::int64_t p = map.begin[segment]; p < map.begin[segment + 1]; ++p) f(static_cast<std::size_t>(p));
    }
  };
  executor.parallel_for(map.volume, [&](std::int64_t k, int) {
    for_each_pair(
        k, [&](std::size_t p) { ++out.begin[static_cast<std::size_t>(map.in_row[p] / kBlock * out.volume + k + 1)]; });
  });
  finish_counts(out);
  executor.parallel_for(map.volume, [&](std::int64_t k, int) {
    std::int64_t block = -1;
    std::int64_t next = 0;
    for_each_pair(k, [&](std::size_t p) {
      const std::int32_t i = map.in_row[p];
      if (i / kBlock != block) {
        block = i / kBlock;
        next = out.begin[static_cast<std::size_t>(block * out.volume + k)];
      }
      out.in_row[static_cast<std::size_t>(next)] = map.out_row[p];
      out.out_row[static_cast<std::size_t>(next++)] = i;
    });
  });
}

}  // namespace rarefy
