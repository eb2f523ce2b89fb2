#include "rarefy/error.h"
#include "rarefy/model.h"

/// Whatever the bytes are: a model, or an Error. The checksum would reject nearly everything, so the JSON parts are fed
/// on their own too.
#include "graph/json_io.h"
#include "graph/tensor_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const rarefy::Model model = rarefy::Model::parse({data, size}, "fuzz");
    (void)rarefy::Model::parse(model.serialize(), "again");
  } catch (const rarefy::Error&) {
  }
  try {
    (void)rarefy::parse_tensor_file({data, size}, "fuzz");
  } catch (const rarefy::Error&) {
  }
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const rarefy::Graph graph = rarefy::graph_from_json(text, rarefy::OpSet::builtin(), "fuzz");
    (void)rarefy::graph_from_json(rarefy::graph_to_json(graph), rarefy::OpSet::builtin(), "again");
  } catch (const rarefy::Error&) {
  }
  try {
    (void)rarefy::pipeline_from_json(text, "fuzz");
  } catch (const rarefy::Error&) {
  }
  try {
    (void)rarefy::header_from_json(text, "fuzz");
  } catch (const rarefy::Error&) {
  }
  return 0;
}
