#include "compress/drop_voxels.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "base/check.h"
#include "base/text.h"
#include "compress/rewrite.h"

namespace rarefy::compress {
namespace {

std::size_t at(std::int32_t id) { return static_cast<std::size_t>(id); }

/// What a block keeps.
struct Keep {
  double ratio = 0;  ///< of the voxels that skip it; 0 and no threshold: none
  std::optional<double> threshold;
  bool drops() const { return ratio > 0 || threshold; }
};

std::vector<Keep> choose(const std::vector<ResidualBlock>& blocks, const DropVoxelsOptions& options) {
  std::vector<std::string> known;
  for (const ResidualBlock& b : blocks) {
    known.push_back(b.name);
    if (std::find(known.begin(), known.end(), b.stage) == known.end()) known.push_back(b.stage);
  }
  const auto check_name = [&](const std::string& name, bool stages) {
    const bool found = std::any_of(blocks.begin(), blocks.end(), [&](const ResidualBlock& b) {
      return b.name == name || (stages && b.stage == name);
    });
    RAREFY_CHECK(found, UsageError, "drop voxels: there is no block '{}'{}; there are {}", name,
                 did_you_mean(name, known), join(known));
  };
  for (const auto& [name, ratio] : options.ratios) {
    check_name(name, true);
    RAREFY_CHECK(ratio >= 0.0 && ratio < 1.0, UsageError,
                 "drop voxels: the ratio of '{}' is {}, expected at least 0 and less than 1 (the share that skips it)",
                 name, ratio);
  }
  for (const auto& [name, unused] : options.thresholds) check_name(name, false);
  for (const auto& [name, unused] : options.scores) check_name(name, true);
  std::vector<Keep> keeps;
  for (const ResidualBlock& b : blocks) {
    Keep keep;
    const auto own = options.ratios.find(b.name), stage = options.ratios.find(b.stage);
    if (own != options.ratios.end())
      keep.ratio = own->second;
    else if (stage != options.ratios.end())
      keep.ratio = stage->second;
    if (const auto t = options.thresholds.find(b.name); t != options.thresholds.end() && keep.ratio > 0)
      keep.threshold = t->second;
    keeps.push_back(keep);
  }
  return keeps;
}

/// Rewrites one graph.
class Dropper {
 public:
  Dropper(const Model& model, const DropVoxelsOptions& options)
      : model_(model),
        options_(options),
        copier_(model.graph()),
        blocks_(residual_blocks(model.graph())),
        keeps_(checked(model, options)),
        weights_(model.weights()),
        block_of_(graph().nodes().size(), -1) {
    for (std::size_t b = 0; b < blocks_.size(); ++b) {
      if (!keeps_[b].drops()) continue;
      for (const std::int32_t n : blocks_[b].branch) block_of_[at(n)] = static_cast<int>(b);
      for (const std::int32_t n : blocks_[b].shortcut) block_of_[at(n)] = static_cast<int>(b);
      block_of_[at(blocks_[b].add)] = static_cast<int>(b);
      if (blocks_[b].activation >= 0) block_of_[at(blocks_[b].activation)] = static_cast<int>(b);
    }
  }

  Model run() {
    for (std::size_t n = 0; n < graph().nodes().size(); ++n) {
      const Node& node = graph().nodes()[n];
      if (block_of_[n] < 0) {
        copier_.copy(node);
      } else {
        copy_in_block(static_cast<std::int32_t>(n), node, at(block_of_[n]));
      }
    }
    for (const GraphOutput& o : graph().outputs()) copier_.builder.output(o.name, copier_.at(o.value));
    Model result(copier_.builder.build(), std::move(weights_), model_.pipeline());
    result.notes = model_.notes;
    return result;
  }

 private:
  /// Of one sub-space of a stage.
  struct Kept {
    ValueId space = -1, row_of_kept = -1, kept_of_row = -1;
  };
  /// A block that is being copied.
  struct Inside {
    Kept kept;
    std::map<ValueId, ValueId> values;  ///< by value of the old graph: its form on the kept rows
  };
  /// What a block made of the kept rows, and the rows that the others keep.
  struct OnKept {
    ValueId made = -1, below = -1;
  };

  const Graph& graph() const { return model_.graph(); }

  std::vector<Keep> checked(const Model& model, const DropVoxelsOptions& options) const {
    RAREFY_CHECK(!drops_voxels(model.graph()), UnsupportedError,
                 "the model drops voxels already: start from the one before");
    RAREFY_CHECK(!blocks_.empty(), UnsupportedError,
                 "the model has no residual block around which voxels could be led");
    return choose(blocks_, options);
  }

  /// In the new graph: one score per row of the block's input, those of its stage (or space).
  ValueId score(const ResidualBlock& block) {
    const std::string key =
        options_.sharing == Scores::per_space ? std::to_string(graph().type(block.x).space) : block.stage;
    const auto found = scores_.find(key);
    if (found != scores_.end()) return found->second;
    const auto learned = options_.scores.find(block.stage);
    ValueId made = -1;
    if (learned == options_.scores.end()) {
      made = plain_score(block);
    } else {
      made = learned_score(block, learned->second);
    }
    return scores_[key] = made;
  }

  ValueId plain_score(const ResidualBlock& block) {
    if (options_.plain == PlainScore::magnitude)
      return copier_.builder.add("magnitude", {copier_.at(block.x)}, {}, block.stage + ".score")[0];
    return place(block, options_.plain == PlainScore::random ? "random" : "spread");
  }

  /// By place alone: one node for all stages over a space.
  ValueId place(const ResidualBlock& block, const char* order) {
    const ValueId rows = copier_.at(graph().type(block.x).space);
    auto [made, first] = places_.try_emplace(rows);
    if (first)
      made->second =
          copier_.builder.add("site_order", {rows}, {{"order", std::string(order)}}, block.stage + ".place")[0];
    return made->second;
  }

  ValueId learned_score(const ResidualBlock& block, const LinearScore& s) {
    const std::int64_t channels = graph().type(block.x).channels;
    RAREFY_CHECK(static_cast<std::int64_t>(s.weight.size()) == channels, UsageError,
                 "drop voxels: the score of stage '{}' has {} weights, its input {} channels", block.stage,
                 s.weight.size(), channels);
    const ValueId linear =
        copier_.builder.add("linear", {copier_.at(block.x)}, {{"channels", std::int64_t{1}}, {"bias", std::int64_t{1}}},
                            block.stage + ".score")[0];
    // A level of `spread` counts 1: the scale of the sum does not matter.
    const float scale =
        options_.spread > 0 ? 1.0f / (static_cast<float>(options_.spread) * std::max(1e-12f, s.deviation)) : 1.0f;
    Tensor weight(Dtype::f32, {channels, 1}), bias(Dtype::f32, {1});
    std::transform(s.weight.begin(), s.weight.end(), weight.mutable_as<float>().begin(),
                   [scale](float w) { return scale * w; });
    bias.mutable_as<float>()[0] = scale * s.bias;
    weights_.set(block.stage + ".score.weight", std::move(weight));
    weights_.set(block.stage + ".score.bias", std::move(bias));
    if (options_.spread <= 0) return linear;
    return copier_.builder.add("add", {linear, place(block, "spread")}, {}, block.stage + ".score_and_place")[0];
  }

  Kept select(const ResidualBlock& block, const Keep& keep) {
    const ValueId scores = score(block);
    const ValueId rows = copier_.at(graph().type(block.x).space);
    Attributes how{{"share", keep.threshold ? 1.0 : 1.0 - keep.ratio}};
    if (keep.threshold) how["above"] = std::vector<double>{*keep.threshold};
    const auto made = copier_.builder.add("select_best", {scores, rows}, how, block.name + ".kept");
    check_nested(block, keep, scores);
    return {made[0], made[1], made[2]};
  }

  void check_nested(const ResidualBlock& block, const Keep& keep, ValueId scores) {
    // Stages may have one score (a place has no features) without having to nest.
    const std::string key = options_.sharing == Scores::per_space ? std::to_string(scores) : block.stage;
    const auto [before, first] = last_.try_emplace(key, keep);
    if (first) return;
    const bool by_threshold = keep.threshold && before->second.threshold;
    const bool falls = by_threshold ? *keep.threshold < *before->second.threshold : keep.ratio < before->second.ratio;
    RAREFY_CHECK(!falls || options_.sharing == Scores::per_space, UsageError,
                 "drop voxels: block '{}' drops a share of {}, less than {} in the block before it in its stage: "
                 "ratios within a stage must not fall",
                 block.name, keep.ratio, before->second.ratio);
    before->second = keep;
  }

  bool sees_all() const { return options_.surroundings == Surroundings::cells; }

  /// The block's input on the rows that stay. Where the block before kept the same rows, its result is there already.
  void enter(const ResidualBlock& block, const Keep& keep, Inside& inside) {
    inside.kept = select(block, keep);
    if (sees_all()) return;  // the first convolution takes the step to the kept rows
    const auto same = on_kept_.find({block.x, inside.kept.space});
    inside.values[block.x] = same != on_kept_.end()
                                 ? same->second.made
                                 : copier_.builder.add("gather", {copier_.at(block.x), inside.kept.row_of_kept}, {},
                                                       block.name + ".gather")[0];
  }

  /// From the rows that the convolution's input has to those that stay.
  ValueId map_on_kept(const Node& node, const ResidualBlock& block, const Inside& inside) {
    const Node& map = graph().producer(node.inputs[1]);
    const bool from_all = !inside.values.contains(node.inputs[0]);
    const ValueId from = from_all ? copier_.at(graph().type(block.x).space) : inside.kept.space;
    const ValueId made = copier_.builder.add("kernel_map", {from, inside.kept.space}, map.attributes,
                                             fmt::format("{}.{}{}", block.name, map.name, from_all ? ".all" : ""))[0];
    return made;
  }

  /// What the others get of a branch that ran on the kept rows: the mean over those in their cell.
  ValueId shared_in_cells(const ResidualBlock& block, const Inside& inside, ValueId branch) {
    GraphBuilder& b = copier_.builder;
    const ValueId all = copier_.at(graph().type(block.x).space);
    auto [cells, first] = cells_.try_emplace(all);
    if (first) {
      const std::vector<std::int64_t> edge{options_.cell};
      const std::string name = "cells_of_" + block.stage;
      cells->second.space = b.add("downsample", {all}, {{"kernel", edge}, {"stride", edge}}, name)[0];
      cells->second.of_row = b.add("locate", {all, cells->second.space}, {}, name + ".of_row")[0];
    }
    auto [of_kept, new_kept] = cell_of_kept_.try_emplace(inside.kept.space);
    if (new_kept)
      of_kept->second = b.add("locate", {inside.kept.space, cells->second.space}, {}, block.name + ".cells")[0];
    const ValueId means =
        b.add("reduce", {branch, of_kept->second}, {{"reduction", std::string("mean")}}, block.name + ".shared")[0];
    const ValueId others = b.add("gather", {means, cells->second.of_row}, {}, block.name + ".others")[0];
    return b.add("overlay", {others, branch, inside.kept.kept_of_row}, {}, block.name + ".overlay")[0];
  }

  void copy_in_block(std::int32_t n, const Node& node, std::size_t b) {
    const ResidualBlock& block = blocks_[b];
    const auto [state, first] = inside_.try_emplace(b);
    Inside& inside = state->second;
    if (first) enter(block, keeps_[b], inside);
    const auto is_in = [n](const std::vector<std::int32_t>& nodes) {
      return std::find(nodes.begin(), nodes.end(), n) != nodes.end();
    };
    if (is_in(block.shortcut)) return copier_.copy(node);
    // With layers in the shortcut the sum is over all rows: what a dropped voxel gets from the branch is nothing.
    const bool over_all = !block.shortcut.empty() || sees_all();
    std::vector<ValueId> inputs;
    for (const ValueId v : node.inputs) {
      if (graph().type(v).kind != ValueKind::features) {
        inputs.push_back(map_on_kept(node, block, inside));
        continue;
      }
      const auto found = inside.values.find(v);
      inputs.push_back(found != inside.values.end() ? found->second : copier_.at(v));
    }
    ValueId made = copier_.builder.add(node.op, std::move(inputs), node.attributes, node.name, node.parameters)[0];
    if (n == block.branch.back() && sees_all())
      made = shared_in_cells(block, inside, made);
    else if (n == block.branch.back() && over_all)
      made = copier_.builder.add("gather", {made, inside.kept.kept_of_row}, {{"fill", 0.0}}, block.name + ".back")[0];
    inside.values[node.outputs[0]] = made;
    if (node.outputs[0] != block.y) return;
    if (over_all)
      copier_.to[at(block.y)] = made;
    else
      put_back(block, inside, made);
  }

  void put_back(const ResidualBlock& block, const Inside& inside, ValueId made) {
    // What the block before put back is covered whole when it kept the same rows.
    const auto same = on_kept_.find({block.x, inside.kept.space});
    const ValueId below = same != on_kept_.end() ? same->second.below : copier_.at(block.x);
    on_kept_[{block.y, inside.kept.space}] = {made, below};
    copier_.to[at(block.y)] =
        copier_.builder.add("overlay", {below, made, inside.kept.kept_of_row}, {}, block.name + ".overlay")[0];
  }

  const Model& model_;
  const DropVoxelsOptions& options_;
  Copier copier_;
  const std::vector<ResidualBlock> blocks_;
  const std::vector<Keep> keeps_;
  Weights weights_;
  std::vector<int> block_of_;              ///< by node: the block that drops, or -1
  std::map<std::string, ValueId> scores_;  ///< by stage or space, in the new graph
  std::map<std::string, Keep> last_;       ///< by stage (or scores that stages share): what the block before kept
  std::map<std::pair<ValueId, ValueId>, OnKept> on_kept_;  ///< by value and sub-space
  std::map<std::size_t, Inside> inside_;                   ///< by block
  /// Larger voxels over a space.
  struct Cells {
    ValueId space = -1, of_row = -1;
  };
  std::map<ValueId, ValueId> places_;        ///< by space, in the new graph: its site_order
  std::map<ValueId, Cells> cells_;           ///< by space of all rows, in the new graph
  std::map<ValueId, ValueId> cell_of_kept_;  ///< by sub-space
};

}  // namespace

Model drop_voxels(const Model& model, const DropVoxelsOptions& options) { return Dropper(model, options).run(); }

bool drops_voxels(const Graph& graph) {
  return std::any_of(graph.nodes().begin(), graph.nodes().end(),
                     [](const Node& node) { return node.op == "select_best"; });
}

std::vector<BlockRows> block_rows(const Graph& graph) {
  std::map<std::int32_t, BlockRows> by_node;  // in the order of the graph
  const auto selection = [&graph](ValueId value) {
    const std::int32_t n = graph.values()[at(value)].node;
    return graph.nodes()[at(n)].op == "select_best" ? n : -1;
  };
  std::set<std::string> known;
  for (std::size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    if (node.op != "sparse_conv" && node.op != "depthwise_conv" && node.op != "grouped_conv") continue;
    const std::int32_t select = selection(graph.type(node.outputs[0]).space);
    const std::string block = node.name.substr(0, node.name.rfind('.'));
    if (select >= 0 && known.insert(block).second)
      by_node[static_cast<std::int32_t>(n)] = {block, graph.type(node.outputs[0]).space, select};
  }
  for (const ResidualBlock& block : residual_blocks(graph))
    if (selection(graph.type(block.x).space) < 0) by_node[block.add] = {block.name, graph.type(block.x).space, -1};
  std::vector<BlockRows> blocks;
  for (auto& [unused, block] : by_node) blocks.push_back(std::move(block));
  return blocks;
}

double left_out_as_asked(const Graph& graph) {
  const auto blocks = block_rows(graph);
  double sum = 0;
  for (const BlockRows& block : blocks)
    if (block.select >= 0) sum += 1.0 - graph.nodes()[at(block.select)].number("share");
  return blocks.empty() ? 0 : sum / static_cast<double>(blocks.size());
}

}  // namespace rarefy::compress
