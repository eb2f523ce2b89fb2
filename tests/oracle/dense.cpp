#include "oracle/machine.h"

namespace rarefy::oracle {
namespace {

/// Calls f(site row or -1, pixel row, cell) for all cells of the box of a to_dense or from_dense node.
template <class F>
void for_cells(MachineState& m, const Node& node, ValueId sites, ValueId image, F f) {
  const Space &sparse = m.spaces.at(sites), &pixels = m.spaces.at(image);
  std::map<Site, std::int64_t> rows;
  for (std::int64_t r = 0; r < sparse.rows; ++r) rows[sparse.sites[static_cast<std::size_t>(r)]] = r;
  const auto& stride = m.graph.type(sites).stride;
  const auto &low = node.integers("min"), &high = node.integers("max");
  for (std::int64_t p = 0; p < pixels.rows; ++p) {
    std::vector<Site> cells{pixels.sites[static_cast<std::size_t>(p)]};
    for (auto a = static_cast<std::size_t>(pixels.dims); a < static_cast<std::size_t>(sparse.dims); ++a) {
      std::vector<Site> longer;
      for (const Site& cell : cells)
        for (std::int64_t v = low[a]; v < high[a]; v += stride[a]) {
          longer.push_back(cell);
          longer.back()[1 + a] = v;
        }
      cells = longer;
    }
    for (std::size_t z = 0; z < cells.size(); ++z) {
      const auto found = rows.find(cells[z]);
      f(found == rows.end() ? -1 : found->second, p, static_cast<std::int64_t>(z));
    }
  }
}

void fill(MachineState& m, const Node& node) {
  const Space& like = m.spaces.at(node.inputs[0]);
  Space image;
  image.samples = like.samples;
  image.dims = m.graph.type(node.outputs[0]).dims;
  for (std::int64_t b = 0; b < like.samples; ++b) image.sites.push_back({b});
  for (std::size_t a = 0; a < static_cast<std::size_t>(image.dims); ++a) {
    std::vector<Site> longer;
    for (const Site& site : image.sites)
      for (std::int64_t v = node.integers("min")[a]; v < node.integers("max")[a];
           v += m.graph.type(node.outputs[0]).stride[a]) {
        longer.push_back(site);
        longer.back()[1 + a] = v;
      }
    image.sites = longer;
  }
  image.rows = static_cast<std::int64_t>(image.sites.size());
  m.spaces[node.outputs[0]] = image;
}

/// Every pixel of every image is a site.
void grid(MachineState& m, const Node& node) {
  const Space& pixels = m.spaces.at(node.inputs[0]);
  const std::int64_t height = node.integer("height"), width = node.integer("width");
  Space sites;
  sites.dims = 2;
  for (std::int64_t pixel = 0; pixel < pixels.rows; ++pixel) {
    sites.sites.push_back({pixel / (height * width), pixel / width % height, pixel % width});
    m.indices[node.outputs[1]].push_back(pixel);
  }
  sites.rows = pixels.rows;
  sites.samples = pixels.rows / (height * width);
  m.indices[node.outputs[1]];
  m.spaces[node.outputs[0]] = sites;
}

}  // namespace

bool run_dense_op(MachineState& m, const Node& node) {
  if (node.op == "box") {
    fill(m, node);
    return true;
  }
  if (node.op == "image_sites") {
    grid(m, node);
    return true;
  }
  const bool makes_image = node.op == "to_dense";
  if (!makes_image && node.op != "from_dense") return false;
  const Result& x = m.features.at(node.inputs[0]);
  Result y = m.blank(node.outputs[0]);
  const std::int64_t channels = makes_image ? x.cols : y.cols;
  const std::int64_t depth = (makes_image ? y.cols : x.cols) / channels;
  for_cells(m, node, node.inputs[makes_image ? 1 : 2], node.inputs[makes_image ? 2 : 1],
            [&](std::int64_t site, std::int64_t pixel, std::int64_t z) {
              for (std::int64_t c = 0; c < channels && site >= 0; ++c) {
                const auto sparse = static_cast<std::size_t>(site * channels + c);
                const auto dense = static_cast<std::size_t>((pixel * channels + c) * depth + z);
                if (makes_image)
                  y.values[dense] = x.values[sparse];
                else
                  y.values[sparse] = x.values[dense];
              }
            });
  m.features[node.outputs[0]] = y;
  return true;
}

}  // namespace rarefy::oracle
