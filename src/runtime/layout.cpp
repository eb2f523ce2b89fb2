#include <algorithm>
#include <limits>

#include "runtime/plan_impl.h"

namespace rarefy::runtime {
namespace {

constexpr std::int64_t kForever = std::numeric_limits<std::int64_t>::max();
std::size_t at(ValueId value) { return static_cast<std::size_t>(value); }

/// A value lies inside another one (a concatenation's output), or is the root of its group.
struct Inside {
  ValueId root = -1;
  std::int64_t column = 0;
};

struct Planner {
  const Graph& graph;
  const std::vector<Step>& steps;
  const Layout& layout;
  std::vector<Inside> inside;
  std::vector<std::int64_t> first, last;  ///< by root: step that makes it, last step that reads it
  std::vector<char> made;                 ///< features values that a step produces

  Planner(const Graph& g, const std::vector<Step>& s, const Layout& l)
      : graph(g),
        steps(s),
        layout(l),
        inside(g.values().size()),
        first(g.values().size(), kForever),
        last(g.values().size(), -1),
        made(g.values().size(), 0) {
    for (const Step& step : steps)
      if (is_features(step.result)) made[at(step.result)] = 1;
  }

  bool is_features(ValueId v) const { return v >= 0 && graph.type(v).kind == ValueKind::features; }

  bool is_output(ValueId v) const {
    return std::any_of(graph.outputs().begin(), graph.outputs().end(),
                       [v](const GraphOutput& o) { return o.value == v; });
  }

  /// Puts the inputs of concatenations inside the output, each value at most once. A graph output stays contiguous.
  /// Dropout, which does nothing here, is a concatenation of one.
  void place_concats(bool share) {
    if (!share) return;
    for (const Step& step : steps) {
      const Node& node = graph.nodes()[static_cast<std::size_t>(step.node)];
      if (node.op != "concat" && node.op != "dropout") continue;
      std::int64_t column = 0;
      for (const ValueId input : node.inputs) {
        const bool alike = layout.dtype(graph, input) == layout.dtype(graph, step.result);
        if (alike && made[at(input)] != 0 && inside[at(input)].root < 0 && !is_output(input) && input != step.result)
          inside[at(input)] = {step.result, column};
        column += graph.type(input).channels;
      }
    }
  }

  Inside resolve(ValueId v) const {
    Inside result{v, 0};
    while (inside[at(result.root)].root >= 0) {
      result.column += inside[at(result.root)].column;
      result.root = inside[at(result.root)].root;
    }
    return result;
  }

  void find_lifetimes() {
    for (std::size_t s = 0; s < steps.size(); ++s) {
      const auto step = static_cast<std::int64_t>(s);
      if (is_features(steps[s].result)) {
        const std::size_t root = at(resolve(steps[s].result).root);
        first[root] = std::min(first[root], step);
        last[root] = std::max(last[root], step);
      }
      for (const ValueId read : steps[s].reads)
        if (made[at(read)] != 0) last[at(resolve(read).root)] = std::max(last[at(resolve(read).root)], step);
    }
    for (const GraphOutput& o : graph.outputs())
      if (is_features(o.value) && made[at(o.value)] != 0) last[at(resolve(o.value).root)] = kForever;
  }

  /// Elements from row to row. Bytes are multiplied in groups of four.
  std::int64_t row_stride(ValueId root) const {
    const std::int64_t channels = graph.type(root).channels;
    if (channels > 1 && layout.dtype(graph, root) != Dtype::u8)
      return (channels + layout.row_multiple - 1) / layout.row_multiple * layout.row_multiple;
    return layout.kept[at(root)] && layout.dtype(graph, root) == Dtype::u8 ? (channels + 3) / 4 * 4 : channels;
  }

  /// The smallest free buffer of the space that is wide enough; else the widest free one, widened; else a new one.
  std::int32_t take_buffer(std::vector<BufferSpec>& buffers, std::vector<std::int64_t>& busy_until, ValueId root,
                           std::int64_t step, bool share) const {
    const ValueId space = graph.type(root).space;
    const std::int64_t bytes = row_stride(root) * size_of(layout.dtype(graph, root));
    std::int32_t best = -1;
    const auto width = [&](std::int32_t b) { return buffers[static_cast<std::size_t>(b)].row_bytes; };
    for (std::size_t b = 0; share && b < buffers.size(); ++b) {
      const auto candidate = static_cast<std::int32_t>(b);
      if (buffers[b].space != space || busy_until[b] >= step) continue;
      if (best < 0 || (width(candidate) >= bytes ? width(best) < bytes || width(candidate) < width(best)
                                                 : width(best) < bytes && width(candidate) > width(best)))
        best = candidate;
    }
    if (best < 0) {
      best = static_cast<std::int32_t>(buffers.size());
      buffers.push_back({space, 0});
      busy_until.push_back(-1);
    }
    BufferSpec& buffer = buffers[static_cast<std::size_t>(best)];
    buffer.row_bytes = std::max(buffer.row_bytes, bytes);
    busy_until[static_cast<std::size_t>(best)] = last[at(root)];
    return best;
  }
};

}  // namespace

Layout make_layout(const Graph& graph, const std::vector<Step>& steps, bool share, KeptValues kept,
                   std::int64_t row_multiple) {
  Layout layout;
  layout.kept = std::move(kept);
  layout.row_multiple = row_multiple;
  Planner planner(graph, steps, layout);
  planner.place_concats(share);
  planner.find_lifetimes();
  layout.places.resize(graph.values().size());
  std::vector<std::int64_t> busy_until;
  std::vector<std::int32_t> buffer_of(graph.values().size(), -1);
  for (std::size_t s = 0; s < steps.size(); ++s) {
    const Step& step = steps[s];
    if (!planner.is_features(step.result)) continue;
    const Inside where = planner.resolve(step.result);
    std::int32_t& buffer = buffer_of[at(where.root)];
    if (buffer < 0)
      buffer = planner.take_buffer(layout.buffers, busy_until, where.root, static_cast<std::int64_t>(s), share);
    const Placement place{buffer, where.column, planner.row_stride(where.root)};
    layout.places[at(step.result)] = place;
    const Node& node = graph.nodes()[static_cast<std::size_t>(step.node)];
    for (const ValueId v : node.outputs)  // a fused node writes what its chain ends in
      if (planner.is_features(v)) layout.places[at(v)] = place;
  }
  return layout;
}

}  // namespace rarefy::runtime
