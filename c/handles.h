#pragma once
/// What the opaque handles of rarefy/c.h hold, and how C++ errors become statuses. Internal to c/.
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "rarefy/c.h"
#include "rarefy/model.h"
#include "rarefy/session.h"

struct rarefy_model {
  rarefy::Model model;
};

struct rarefy_session {
  std::shared_ptr<const rarefy::Plan> plan;
  int threads = 1;
  rarefy::Context context;
  rarefy::Inputs inputs;           ///< one per graph input, in the graph's order; kept so that a run allocates nothing
  std::vector<char> given;         ///< which of them are set for the next run
  const rarefy::Outputs* outputs;  ///< of the last run; null before the first and after a failure
};

namespace rarefy::c {

/// Remembers what the exception in flight says, for rarefy_last_error. Call inside a catch block.
rarefy_status remember_exception() noexcept;

/// Runs `body`; what it throws ends here.
template <class Body>
rarefy_status guarded(Body body) noexcept {
  try {
    body();
    return RAREFY_OK;
  } catch (...) {
    return remember_exception();
  }
}

/// @throws UsageError naming function and argument when a pointer that is needed is null.
void require(const void* pointer, const char* function, const char* argument);

/// Position of the graph input `name`. @throws UsageError listing the inputs there are.
std::size_t input_index(const Graph& graph, const char* name);
inline const Node& input_node(const Graph& graph, std::size_t index) {
  return graph.nodes()[static_cast<std::size_t>(graph.inputs()[index])];
}

}  // namespace rarefy::c
