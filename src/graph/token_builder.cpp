// The layers of Builder for tokens.
#include "rarefy/builder.h"

namespace rarefy {
namespace {

Attributes window_attributes_of(const WindowOptions& o) {
  return {{"height", o.height}, {"width", o.width}, {"window", o.window}, {"shift", o.shift}};
}

}  // namespace

ValueId Builder::patches(ValueId x, const PatchOptions& o) {
  const Attributes grid{
      {"height", o.height}, {"width", o.width}, {"patch", o.patch}, {"pad", static_cast<std::int64_t>(o.pad)}};
  return add("cut_patches", {x, add("patches", {space_of(x)}, grid)[0]}, grid)[0];
}

ValueId Builder::image_sites(ValueId x, std::int64_t height, std::int64_t width) {
  return gather(x, add("image_sites", {space_of(x)}, {{"height", height}, {"width", width}})[1]);
}

ValueId Builder::embedding(ValueId x, std::int64_t count, std::int64_t channels, std::string name) {
  return add("embedding", {x}, {{"count", count}, {"channels", channels}}, std::move(name))[0];
}

ValueId Builder::positions(ValueId x) { return add("positions", {space_of(x)})[0]; }

ValueId Builder::class_token(ValueId x, std::string name) {
  return add("class_token", {x, add("prepend_rows", {space_of(x)})[1]}, {}, std::move(name))[0];
}

ValueId Builder::first_row(ValueId x) {
  const ValueId rows = space_of(x), samples = add("samples", {rows})[0];
  return gather(x, add("first_rows", {rows, samples})[0]);
}

ValueId Builder::attention(ValueId q, ValueId k, ValueId v, std::int64_t heads, ValueId sizes, std::string name) {
  std::vector<ValueId> inputs{q, k, v};
  if (sizes >= 0) inputs.push_back(sizes);
  return add("attention", std::move(inputs), {{"heads", heads}}, std::move(name))[0];
}

ValueId Builder::attention_scores(ValueId q, ValueId k, std::int64_t heads, std::string from, ValueId sizes) {
  std::vector<ValueId> inputs{q, k};
  if (sizes >= 0) inputs.push_back(sizes);
  return add("attention_scores", std::move(inputs), {{"heads", heads}, {"queries", std::move(from)}})[0];
}

Builder::Selected Builder::select_top(ValueId scores, const SelectTopOptions& o) {
  const auto outputs = add("select_top", {scores, space_of(scores)},
                           {{"share", o.share},
                            {"count", o.count},
                            {"leading", o.leading},
                            {"rounding", std::string(o.round_up ? "up" : "down")},
                            {"above", o.above ? std::vector<double>{*o.above} : std::vector<double>{}},
                            {"fuse", static_cast<std::int64_t>(o.fuse)}});
  return {outputs[0], outputs[1], outputs[2]};
}

ValueId Builder::fuse_rows(ValueId x, ValueId weights, const Selected& selected) {
  return add("fuse_rows", {x, weights, selected.row_of_kept, selected.kept_of_row})[0];
}

Builder::Merged Builder::match_tokens(ValueId metric, const MatchTokensOptions& o) {
  const auto outputs = add("match_tokens", {metric, space_of(metric)},
                           {{"remove", o.remove}, {"heads", o.heads}, {"leading", o.leading}});
  return {outputs[0], outputs[1]};
}

ValueId Builder::merge_rows(ValueId x, ValueId sizes, ValueId merged_of_row) {
  return add("merge_rows", {x, sizes, merged_of_row})[0];
}

Builder::Windows Builder::windows(ValueId tokens, const WindowOptions& o) {
  const auto outputs = add("windows", {tokens}, window_attributes_of(o));
  return {outputs[0], outputs[1]};
}

Builder::WindowRows Builder::window_rows(ValueId tokens, ValueId windows, const WindowOptions& o, ValueId row_of_kept) {
  std::vector<ValueId> inputs{tokens, windows};
  if (row_of_kept >= 0) inputs.push_back(row_of_kept);
  const auto outputs = add("window_rows", std::move(inputs), window_attributes_of(o));
  return {outputs[0], outputs[1], outputs[2]};
}

ValueId Builder::window_attention(ValueId q, ValueId k, ValueId v, ValueId token_of_row, std::int64_t heads,
                                  const WindowOptions& o, std::string name) {
  Attributes attributes = window_attributes_of(o);
  attributes["heads"] = heads;
  return add("window_attention", {q, k, v, token_of_row}, std::move(attributes), std::move(name))[0];
}

ValueId Builder::resize_grid(ValueId x, ValueId to, const GridOptions& from, const GridOptions& onto) {
  return add("resize_grid", {x, to},
             {{"height", from.height}, {"width", from.width}, {"to_height", onto.height}, {"to_width", onto.width}})[0];
}

ValueId Builder::scale_rows(ValueId x, ValueId factors) { return add("scale_rows", {x, factors})[0]; }

ValueId Builder::l2_normalize(ValueId x) { return add("l2_normalize", {x})[0]; }

}  // namespace rarefy
