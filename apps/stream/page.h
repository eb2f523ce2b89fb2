#pragma once
/// Fills the report of a stream.
#include <string>

#include "stream/figures.h"

namespace rarefy::cli::stream {

struct StreamSummary {
  const Figures& figures;
  std::string model, source;
  std::int64_t scans = 0;
  double rate = 0, deadline_ms = 0;
  std::string drop;
  double seconds = 0;
  std::int64_t given_up = 0, parameters = 0;
  int threads = 1;
  std::string busy;
};

/// The page as HTML.
std::string make_stream_page(const StreamSummary& summary);

}  // namespace rarefy::cli::stream
