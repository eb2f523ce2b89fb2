#pragma once
/// Parts of rarefy-bench-cuda. Times are medians; of kernels by events on the stream, of networks by the host's clock.
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kernels/cuda/device.h"

namespace rarefy::bench_cuda {

using Json = nlohmann::ordered_json;

struct Options {
  std::vector<std::string> scans;
  std::vector<std::string> builders = {"minkunet", "spvcnn", "centerpoint"};
  int repetitions = 20;
  bool layers = true, networks = true, sweep = false;
};

/// Median time of `work` on the stream, ms, after two runs that do not count.
double device_ms(const std::function<void()>& work, int repetitions, cuda::Stream stream);

/// Copy bandwidth: bytes read and written per second, GB/s.
double copy_bandwidth(cuda::Stream stream);
/// Voxels, coarser sites and maps of a scan, step by step.
Json bench_geometry(const Options& options, const std::string& scan);
/// Each layer of MinkUNet 1.0x on the scan's own maps, by flow and number of splits: forward and weight gradient.
Json bench_layers(const Options& options, const std::string& scan);
/// Whole networks from points to labels in every precision; a scan cut to 1,000 points shows the host's share.
Json bench_networks(const Options& options, const std::string& scan);

}  // namespace rarefy::bench_cuda
