#include "compress/residual_blocks.h"

#include <algorithm>
#include <set>
#include <string_view>

namespace rarefy::compress {
namespace {

std::size_t at(std::int32_t id) { return static_cast<std::size_t>(id); }

bool is_convolution(const Node& node) {
  return node.op == "sparse_conv" || node.op == "depthwise_conv" || node.op == "grouped_conv";
}

bool is_activation(const Node& node) { return node.attributes.contains("alpha") && node.inputs.size() == 1; }

std::string parent(const std::string& name) {
  const std::size_t dot = name.rfind('.');
  return dot == std::string::npos ? name : name.substr(0, dot);
}

class Finder {
 public:
  explicit Finder(const Graph& graph) : graph_(graph), readers_(graph.values().size(), 0) {
    for (const Node& node : graph.nodes())
      for (const ValueId v : node.inputs) ++readers_[at(v)];
    for (const GraphOutput& o : graph.outputs()) readers_[at(o.value)] += 2;
  }

  std::vector<ResidualBlock> all() {
    std::vector<ResidualBlock> blocks;
    for (std::size_t n = 0; n < graph_.nodes().size(); ++n) {
      if (graph_.nodes()[n].op != "add") continue;
      ResidualBlock block;
      block.add = static_cast<std::int32_t>(n);
      if (!find_branches(block)) continue;
      find_end(block);
      name(block, blocks);
      blocks.push_back(std::move(block));
    }
    return blocks;
  }

 private:
  /// Node that makes the value from values of the same rows alone (its input 0), or -1.
  std::int32_t step_back(ValueId value) const {
    const std::int32_t n = graph_.values()[at(value)].node;
    const Node& node = graph_.nodes()[at(n)];
    if (node.op == "linear" || node.op == "batch_norm" || node.op == "prelu" || is_activation(node)) return n;
    const bool in_place = is_convolution(node) && graph_.type(node.inputs[0]).space == graph_.type(value).space &&
                          graph_.producer(node.inputs[1]).op == "kernel_map";
    return in_place ? n : -1;
  }

  /// Nodes on the way back from `value`, nearest first; each value after the first has one reader alone.
  std::vector<std::int32_t> way_back(ValueId value) const {
    std::vector<std::int32_t> nodes;
    while (readers_[at(value)] == 1) {
      const std::int32_t n = step_back(value);
      if (n < 0) break;
      nodes.push_back(n);
      value = graph_.nodes()[at(n)].inputs[0];
    }
    return nodes;
  }

  bool has_convolution(const std::vector<std::int32_t>& nodes) const {
    return std::any_of(nodes.begin(), nodes.end(),
                       [&](std::int32_t n) { return is_convolution(graph_.nodes()[at(n)]); });
  }

  ValueId start_of(ValueId end, const std::vector<std::int32_t>& nodes) const {
    return nodes.empty() ? end : graph_.nodes()[at(nodes.back())].inputs[0];
  }

  /// Both ways back from the sum begin at one value that several nodes read.
  bool find_branches(ResidualBlock& block) const {
    const Node& add = graph_.nodes()[at(block.add)];
    std::vector<std::int32_t> ways[2] = {way_back(add.inputs[0]), way_back(add.inputs[1])};
    if (start_of(add.inputs[0], ways[0]) != start_of(add.inputs[1], ways[1])) return false;
    const std::size_t branch = has_convolution(ways[0]) ? 0 : 1;
    if (!has_convolution(ways[branch]) || has_convolution(ways[1 - branch])) return false;
    block.x = start_of(add.inputs[branch], ways[branch]);
    block.branch.assign(ways[branch].rbegin(), ways[branch].rend());
    block.shortcut.assign(ways[1 - branch].rbegin(), ways[1 - branch].rend());
    return true;
  }

  void find_end(ResidualBlock& block) const {
    block.y = graph_.nodes()[at(block.add)].outputs[0];
    if (readers_[at(block.y)] != 1) return;
    for (std::size_t n = 0; n < graph_.nodes().size(); ++n) {
      const Node& node = graph_.nodes()[n];
      if (!is_activation(node) || node.inputs[0] != block.y) continue;
      block.activation = static_cast<std::int32_t>(n);
      block.y = node.outputs[0];
      return;
    }
  }

  /// Of its first convolution; the stage is that of the block before when this one goes on from there.
  void name(ResidualBlock& block, const std::vector<ResidualBlock>& before) {
    for (const std::int32_t n : block.branch) {
      if (!is_convolution(graph_.nodes()[at(n)])) continue;
      block.name = parent(graph_.nodes()[at(n)].name);
      break;
    }
    while (!names_.insert(block.name).second) block.name += "+";
    block.stage = !before.empty() && before.back().y == block.x ? before.back().stage : parent(block.name);
  }

  const Graph& graph_;
  std::vector<int> readers_;  ///< by value
  std::set<std::string> names_;
};

}  // namespace

std::vector<ResidualBlock> residual_blocks(const Graph& graph) { return Finder(graph).all(); }

}  // namespace rarefy::compress
