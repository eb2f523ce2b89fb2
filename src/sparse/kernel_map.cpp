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
  // Of a box the corners tell; of a list all offsets must have their opposite at the mirrored place.
  const std::int64_t last = kernel.volume() - 1;
  if (last % 2 != 0) return false;
  const std::int64_t compared = kernel.offsets.empty() ? 1 : last / 2 + 1;
  for (std::int64_t k = 0; k < compared; ++k) {
    const Extent low = kernel.offset(k), high = kernel.offset(last - k);
    for (int a = 0; a < kernel.dims; ++a) {
      if (low[a] != -high[a]) return false;
    }
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
  // A step waits for the one before it: several lanes at a time hide most of that.
  constexpr std::size_t kLanes = 3;
  constexpr std::int64_t kLaneRows = 1024;
  const std::uint64_t* in_keys = b.in_keys;
  const std::uint64_t* in_end = in_keys + b.in_rows;
  const std::uint64_t* out_keys = b.out.keys.data();
  const std::int64_t rows = b.out.rows();
  const std::uint64_t span = b.step * static_cast<std::uint64_t>(run.length - 1);
  std::array<std::array<std::uint64_t, kLaneRows + 1>, kLanes - 1> found;  // of all lanes but the first
  std::size_t n = 0;
  std::int64_t in_row = 0;
  for (std::int64_t o = 0; o < rows; o += static_cast<std::int64_t>(kLanes) * kLaneRows) {
    const std::size_t room = n + kLanes * kLaneRows + 1;
    if (candidates.size() < room) candidates.resize(room);
    std::array<Lane, kLanes> lanes;
    for (std::size_t l = 0; l < kLanes; ++l) {
      const std::int64_t first = std::min(o + static_cast<std::int64_t>(l) * kLaneRows, rows);
      const std::int64_t end = std::min(first + kLaneRows, rows);
      if (l > 0 && first < end)
        in_row = std::lower_bound(in_keys + in_row, in_end, out_keys[first] + run.delta) - in_keys;
      lanes[l] = {first, end, in_row, l == 0 ? candidates.data() + n : found[l - 1].data()};
    }
    // A step ends at most one row, so that no lane needs to be asked for its end in between.
    const auto safe_steps = [&lanes] {
      std::int64_t least = kLaneRows;
      for (const Lane& lane : lanes) least = std::min(least, lane.end - lane.row);
      return least;
    };
    for (std::int64_t steps = safe_steps(); steps > 0; steps = safe_steps())
      for (std::int64_t i = 0; i < steps; ++i)
        for (Lane& lane : lanes) lane.step(in_keys, out_keys, run.delta, span);
    for (Lane& lane : lanes)
      while (lane.row < lane.end) lane.step(in_keys, out_keys, run.delta, span);
    std::uint64_t* next = lanes[0].next;
    for (std::size_t l = 1; l < kLanes; ++l) next = std::copy(found[l - 1].data(), lanes[l].next, next);
    n = static_cast<std::size_t>(next - candidates.data());
    for (const Lane& lane : lanes) in_row = std::max(in_row, lane.in_row);
  }
  return n;
}

/// The same for the one offset before the centre of a symmetric map: sites are multiples of the stride, so that its
/// site can only be the row before.
std::size_t find_predecessors(const Build& b, const Run& run, std::vector<std::uint64_t>& candidates) {
  const std::int64_t rows = b.out.rows();
  if (candidates.size() < static_cast<std::size_t>(rows + 1)) candidates.resize(static_cast<std::size_t>(rows + 1));
  const std::uint64_t* out_keys = b.out.keys.data();
  std::uint64_t* next = candidates.data();
  for (std::int64_t o = 1; o < rows; ++o) {
    *next = candidate(o, o - 1);
    next += b.in_keys[o - 1] == out_keys[o] + run.delta;
  }
  return static_cast<std::size_t>(next - candidates.data());
}

/// Pairs of the offsets of a run: a list per offset, rows ascending, packed as candidates are.
struct Hits {
  std::array<std::uint64_t*, kMaxRun> pairs;
  std::array<std::size_t, kMaxRun> count{};

  /// In the memory behind the candidates, which are at most as many; one pair more is written.
  Hits(const Run& run, std::size_t candidates, std::vector<std::uint64_t>& memory) {
    const std::size_t lists = static_cast<std::size_t>(run.length);
    const std::size_t size = candidates + lists * (candidates + 1);
    if (memory.size() < size) memory.resize(size);
    for (std::size_t s = 0; s < lists; ++s) pairs[s] = memory.data() + candidates + s * (candidates + 1);
  }
};

/// Appends the pairs of some candidates.
template <std::size_t kLength>
void find_hits(const Build& b, const Run& run, std::span<const std::uint64_t> candidates, Hits& hits) {
  const std::uint64_t *in_keys = b.in_keys, *out_keys = b.out.keys.data();
  const std::uint64_t step = b.step;
  std::array<std::uint64_t*, kLength> next;
  for (std::size_t s = 0; s < kLength; ++s) next[s] = hits.pairs[s] + hits.count[s];
  for (const std::uint64_t c : candidates) {
    const std::int64_t o = out_row_of(c);
    std::int64_t i = in_row_of(c);
    std::uint64_t wanted = out_keys[o] + run.delta;
    for (std::size_t s = 0; s < kLength; ++s) {
      const bool hit = in_keys[i] == wanted && i < b.in_rows;
      *next[s] = candidate(o, i);
      next[s] += hit;
      i += hit;
      wanted += step;
    }
  }
  for (std::size_t s = 0; s < kLength; ++s) hits.count[s] = static_cast<std::size_t>(next[s] - hits.pairs[s]);
}

using FindHits = void (*)(const Build&, const Run&, std::span<const std::uint64_t>, Hits&);
constexpr FindHits kFindHits[kMaxRun] = {find_hits<1>, find_hits<2>, find_hits<3>, find_hits<4>,
                                         find_hits<5>, find_hits<6>, find_hits<7>};

/// Finds the pairs of a run and adds their numbers to begin[segment + 1], segments counted as block * K + offset.
void find_run(const Build& b, const Run& run, std::span<const std::uint64_t> candidates, Hits& hits) {
  const std::int64_t volume = b.map.volume;
  std::int64_t* count = b.map.begin.data() + 1;
  std::size_t begin = 0;
  while (begin < candidates.size()) {
    const std::int64_t block = out_row_of(candidates[begin]) / kBlock;
    std::size_t end = begin;
    while (end < candidates.size() && out_row_of(candidates[end]) < (block + 1) * kBlock) ++end;
    const auto before = hits.count;
    kFindHits[run.length - 1](b, run, candidates.subspan(begin, end - begin), hits);
    for (std::size_t s = 0; s < static_cast<std::size_t>(run.length); ++s)
      count[block * volume + run.first + static_cast<std::int64_t>(s)] +=
          static_cast<std::int64_t>(hits.count[s] - before[s]);
    begin = end;
  }
  if (!b.symmetric) return;
  for (std::size_t s = 0; s < static_cast<std::size_t>(run.length); ++s) {
    const std::int64_t mirrored = volume - 1 - run.first - static_cast<std::int64_t>(s);
    for (std::size_t p = 0;
         p < hits.count[s];) {  // input rows ascend too: count those of a block, then look for the next
      const std::int64_t block = in_row_of(hits.pairs[s][p]) / kBlock;
      const std::size_t first = p;
      while (p < hits.count[s] && in_row_of(hits.pairs[s][p]) < (block + 1) * kBlock) ++p;
      count[block * volume + mirrored] += static_cast<std::int64_t>(p - first);
    }
  }
}

/// Copies the pairs of list s of a run to the segments of offset k. @return their number
std::size_t fill_list(const Build& b, const Hits& hits, std::size_t s, std::int64_t k) {
  std::size_t p = 0;
  for (std::int64_t block = 0; block < b.map.blocks(); ++block) {
    const std::int64_t* begin = b.map.begin.data() + block * b.map.volume + k;
    const auto n = static_cast<std::size_t>(begin[1] - begin[0]);
    const std::uint64_t* from = hits.pairs[s] + p;
    std::int32_t *in = b.map.in_row.data() + begin[0], *out = b.map.out_row.data() + begin[0];
    for (std::size_t j = 0; j < n; ++j) {
      in[j] = static_cast<std::int32_t>(in_row_of(from[j]));
      out[j] = static_cast<std::int32_t>(out_row_of(from[j]));
    }
    p += n;
  }
  return p;
}

/// The same for its mirrored pairs, which belong to offset K - 1 - k. Input rows of one offset ascend, so they fill the
/// segments of their blocks in order.
void fill_mirrored(const Build& b, const Hits& hits, std::size_t s, std::size_t count, std::int64_t k) {
  const std::int64_t volume = b.map.volume;
  std::int32_t *to_in = b.map.in_row.data(), *to_out = b.map.out_row.data();
  std::int64_t block = -1, next = 0;
  for (std::size_t p = 0; p < count; ++p) {
    const std::int64_t i = in_row_of(hits.pairs[s][p]);
    if (i / kBlock != block) {
      block = i / kBlock;
      next = b.map.begin[static_cast<std::size_t>(block * volume + volume - 1 - k)];
    }
    to_in[next] = static_cast<std::int32_t>(out_row_of(hits.pairs[s][p]));
    to_out[next++] = static_cast<std::int32_t>(i);
  }
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

}  // namespace

void check_kernel_map(const SiteShape& in, const SiteShape& out, const KernelShape& kernel) {
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
  RAREFY_CHECK(in.rows <= kMost && out.rows <= kMost, ShapeError,
               "{} input and {} output rows: at most {} can be numbered", in.rows, out.rows, kMost);
}

void build_kernel_map(const Coords& in, const Coords& out, const KernelShape& kernel, Executor& executor,
                      KernelMap& map) {
  check_kernel_map({in.dims, in.stride, in.rows()}, {out.dims, out.stride, out.rows()}, kernel);
  const KeyLayout layout = key_layout(in.dims);
  const int last = in.dims - 1;
  map.in_rows = in.rows();
  map.out_rows = out.rows();
  map.volume = kernel.volume();
  map.tiles.clear();
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
  // With a dilated last axis other sites may lie between those of a run, and listed offsets may be any: each offset is
  // then a run of its own.
  const int run_length = kernel.dilation[last] == 1 && kernel.offsets.empty() ? kernel.size[last] : 1;
  std::int64_t runs = map.volume / run_length;
  if (b.symmetric) runs = (runs + 1) / 2;
  KernelMapScratch& scratch = map.scratch;
  if (static_cast<std::int64_t>(scratch.candidates.size()) < runs) {
    scratch.candidates.resize(static_cast<std::size_t>(runs));
    scratch.candidate_count.resize(static_cast<std::size_t>(runs));
  }
  // f(run, its number) for all runs that search for something.
  const auto for_each_run = [&](auto f) {
    executor.parallel_for(runs, [&](std::int64_t part, int) {
      const Run run = get_run(kernel, layout, in.stride, part, run_length, b.symmetric);
      if (run.length > 0) f(run, static_cast<std::size_t>(part));
    });
  };
  for_each_run([&](const Run& run, std::size_t r) {
    const bool predecessors = b.symmetric && run.length == 1 && run_length == 3;
    std::vector<std::uint64_t>& list = scratch.candidates[r];
    const std::size_t n = predecessors ? find_predecessors(b, run, list) : merge(b, run, list);
    scratch.candidate_count[r] = n;
    Hits hits(run, n, list);
    find_run(b, run, {list.data(), n}, hits);
  });
  if (b.symmetric) count_centre(b);
  finish_counts(map);
  for_each_run([&](const Run& run, std::size_t r) {
    const Hits hits(run, scratch.candidate_count[r], scratch.candidates[r]);
    for (std::size_t s = 0; s < static_cast<std::size_t>(run.length); ++s) {
      const std::int64_t k = run.first + static_cast<std::int64_t>(s);
      const std::size_t count = fill_list(b, hits, s, k);
      if (b.symmetric) fill_mirrored(b, hits, s, count, k);
    }
  });
  if (b.symmetric) fill_centre(b);
}

void transpose_map(const KernelMap& map, Executor& executor, KernelMap& out) {
  RAREFY_ASSERT(&map != &out);
  out.in_rows = map.out_rows;
  out.out_rows = map.in_rows;
  out.volume = map.volume;
  out.tiles.clear();
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
