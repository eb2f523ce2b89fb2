#pragma once
/// What `rarefy tune` found out about one model on one machine: in which dataflow each convolution runs best. A choice
/// changes times, not results (of weight gradients: rounding only).
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "rarefy/export.h"
#include "rarefy/graph.h"

namespace rarefy {

/// A tuning file in memory. Dataflows by name: "automatic" (the cost model), "blocked", "stationary", "on_demand".
struct RAREFY_API Tuning {
  struct Layer {
    std::string forward = "automatic";
    std::string input_gradient = "automatic";
    std::string weight_gradient = "automatic";  ///< never stationary
  };
  std::string cpu;                           ///< model name of the CPU that it was measured on
  std::string isa;                           ///< kernels: "avx2", ...
  int threads = 0;                           ///< of the runs that were timed
  std::string model;                         ///< fingerprint of the graph
  std::map<std::string, std::int64_t> scan;  ///< medians of the scans: rows and pairs of each kernel map, by its node
  std::map<std::string, Layer> layers;       ///< by node; others are automatic

  /// The choice for a node. @throws UsageError for an unknown dataflow
  const Layer& layer(std::string_view node) const;
  /// @throws UsageError saying what does not match and what to do: another CPU, other kernels, another graph
  void require_match(const Graph& graph, std::string_view isa_here) const;

  /// @throws IoError, InputError (file, field, what was expected)
  static Tuning load(const std::string& path);
  /// @param where  stands for the file in messages
  static Tuning parse(const std::string& text, const std::string& where);
  std::string to_json() const;
  /// Complete or not at all. @throws IoError
  void save(const std::string& path) const;
  /// Of a graph, whatever its weights.
  static std::string fingerprint(const Graph& graph);
};

}  // namespace rarefy
