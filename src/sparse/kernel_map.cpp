#include "sparse/kernel_map.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/check.h"

namespace rarefy {
namespace {

constexpr std::int64_t kBlock = KernelMap::kBlockRows;

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

/// For each output row the first input row whose key is not below the key that offset run.first asks for. Free of
/// branches that depend on the data: each step advances one of the two sides.
void merge(const Build& b, const Run& run, std::int32_t* first_row) {
  const std::uint64_t* out_keys = b.out.keys.data();
  const std::int64_t n = b.out.rows();
  std::int64_t o = 0;
  std::int64_t i = 0;
  while (o < n) {
    const bool below = b.in_keys[i] < out_keys[o] + run.delta;  // never true at the sentinel
    first_row[o] = static_cast<std::int32_t>(i);
    i += below;
    o += !below;
  }
}

/// Pairs of the rows of one block for the offsets of a run.
struct Hits {
  std::array<std::array<std::int32_t, kBlock>, 7> in_row;
  std::array<std::array<std::int32_t, kBlock>, 7> out_row;
  std::array<std::int32_t, 7> count;
};

void find_hits(const Build& b, const Run& run, const std::int32_t* first_row, std::int64_t begin, std::int64_t end,
               Hits& hits) {
  const std::uint64_t* out_keys = b.out.keys.data();
  hits.count.fill(0);
  for (std::int64_t o = begin; o < end; ++o) {
    std::int64_t i = first_row[o];
    std::uint64_t wanted = out_keys[o] + run.delta;
    for (int s = 0; s < run.length; ++s) {
      const bool hit = b.in_keys[i] == wanted && i < b.in_rows;
      auto& count = hits.count[static_cast<std::size_t>(s)];
      hits.in_row[static_cast<std::size_t>(s)][static_cast<std::size_t>(count)] = static_cast<std::int32_t>(i);
      hits.out_row[static_cast<std::size_t>(s)][static_cast<std::size_t>(count)] = static_cast<std::int32_t>(o);
      count += hit;
      i += hit;
      wanted += b.step;
    }
  }
}

/// Calls f(offset index within the run, hits) for all blocks in order.
template <class F>
void for_each_block(const Build& b, const Run& run, const std::int32_t* first_row, F f) {
  Hits hits;
  const std::int64_t n = b.out.rows();
  for (std::int64_t begin = 0; begin < n; begin += kBlock) {
    find_hits(b, run, first_row, begin, std::min(begin + kBlock, n), hits);
    f(begin / kBlock, hits);
  }
}

/// Adds the pairs of a run to begin[segment + 1], segments counted as block * K + offset.
void count_run(const Build& b, const Run& run, const std::int32_t* first_row) {
  const std::int64_t volume = b.map.volume;
  std::int64_t* count = b.map.begin.data() + 1;
  for_each_block(b, run, first_row, [&](std::int64_t block, const Hits& hits) {
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

void fill_run(const Build& b, const Run& run, const std::int32_t* first_row) {
  const std::int64_t volume = b.map.volume;
  const std::int64_t* begin = b.map.begin.data();
  std::int32_t* in_row = b.map.in_row.data();
  std::int32_t* out_row = b.map.out_row.data();
  std::array<std::int64_t, 7> mirror_block;
  std::array<std::int64_t, 7> mirror_next{};
  mirror_block.fill(-1);
  for_each_block(b, run, first_row, [&](std::int64_t block, const Hits& hits) {
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
  map.scratch[0].assign(in.keys.begin(), in.keys.end());
  map.scratch[0].push_back(~std::uint64_t{0});

  const Build b{out,
                map,
                in.rows(),
                map.scratch[0].data(),
                static_cast<std::uint64_t>(in.stride[last]),
                is_symmetric(in, out, kernel)};
  // With a dilated last axis other sites may lie between those of a run: each offset is then a run of its own.
  const int run_length = kernel.dilation[last] == 1 ? kernel.size[last] : 1;
  std::int64_t runs = map.volume / run_length;
  if (b.symmetric) runs = (runs + 1) / 2;
  map.first_row.resize(static_cast<std::size_t>(runs * map.out_rows));
  const auto first_row = [&](std::int64_t r) { return map.first_row.data() + r * map.out_rows; };

  executor.parallel_for(runs, [&](std::int64_t r, int) {
    const Run run = get_run(kernel, layout, in.stride, r, run_length, b.symmetric);
    if (run.length == 0) return;
    merge(b, run, first_row(r));
    count_run(b, run, first_row(r));
  });
  if (b.symmetric) {
    for (std::int64_t block = 0; block < map.blocks(); ++block) {
      map.begin[static_cast<std::size_t>(block * map.volume + (map.volume - 1) / 2 + 1)] =
          std::min(kBlock, map.out_rows - block * kBlock);
    }
  }
  finish_counts(map);
  executor.parallel_for(runs, [&](std::int64_t r, int) {
    const Run run = get_run(kernel, layout, in.stride, r, run_length, b.symmetric);
    if (run.length > 0) fill_run(b, run, first_row(r));
  });
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
