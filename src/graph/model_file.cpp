#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/crc32.h"
#include "base/file.h"
#include "graph/json_io.h"
#include "graph/tensor_file.h"
#include "rarefy/model.h"

namespace rarefy {
namespace {

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the safetensors format
constexpr int kFileVersion = 1;
constexpr std::string_view kNotePrefix = "note.";

std::span<const std::uint8_t> bytes_of_text(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::string checksum(const std::string& graph, const std::string& pipeline, std::span<const std::uint8_t> data) {
  return fmt::format("{:08x}", crc32(data, crc32(bytes_of_text(pipeline), crc32(bytes_of_text(graph)))));
}

std::uint64_t read_length(std::span<const std::uint8_t> bytes, const std::string& where) {
  RAREFY_CHECK(bytes.size() >= 8, InputError,
               "{}: {} bytes are too few for a model file (a safetensors file starts with 8 bytes of length)", where,
               bytes.size());
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < 8; ++i) length |= static_cast<std::uint64_t>(bytes[i]) << (8 * i);
  RAREFY_CHECK(length <= kMaxHeaderBytes && length <= bytes.size() - 8, InputError,
               "{}: the header claims {} bytes, the file has {}: it is truncated, or not a safetensors file", where,
               length, bytes.size());
  return length;
}

/// Every tensor inside the data section, of the size that its shape demands, none overlapping, nothing left over.
void check_layout(const FileHeader& header, std::uint64_t data_bytes, const std::string& where) {
  std::vector<const TensorEntry*> order;
  for (const TensorEntry& t : header.tensors) {
    RAREFY_CHECK(t.begin <= t.end && t.end <= data_bytes, InputError,
                 "{}: tensor '{}' lies at [{}, {}) of a data section of {} bytes: the file is truncated or damaged",
                 where, t.name, t.begin, t.end, data_bytes);
    std::uint64_t size = static_cast<std::uint64_t>(size_of(t.dtype));
    for (const std::int64_t extent : t.shape) {
      RAREFY_CHECK(extent >= 0 && (extent == 0 || size <= data_bytes / static_cast<std::uint64_t>(extent) + 1),
                   InputError, "{}: tensor '{}' has the shape [{}], more than the file can hold", where, t.name,
                   fmt::join(t.shape, ", "));
      size *= static_cast<std::uint64_t>(extent);
    }
    RAREFY_CHECK(size == t.end - t.begin, InputError,
                 "{}: tensor '{}' of shape [{}] needs {} bytes, its offsets give {}", where, t.name,
                 fmt::join(t.shape, ", "), size, t.end - t.begin);
    order.push_back(&t);
  }
  std::sort(order.begin(), order.end(), [](const TensorEntry* a, const TensorEntry* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  std::uint64_t reached = 0;
  for (const TensorEntry* t : order) {
    RAREFY_CHECK(t->begin >= reached, InputError,
                 "{}: tensor '{}' at byte {} overlaps the one before it, which ends at {}", where, t->name, t->begin,
                 reached);
    RAREFY_CHECK(t->begin == reached, InputError, "{}: bytes {} to {} of the data section belong to no tensor", where,
                 reached, t->begin);
    reached = t->end;
  }
  RAREFY_CHECK(reached == data_bytes, InputError, "{}: {} bytes after the last tensor belong to no tensor", where,
               data_bytes - reached);
}

/// Header and data section of a file.
struct Sections {
  FileHeader header;
  std::span<const std::uint8_t> data;
};

Sections split(std::span<const std::uint8_t> bytes, const std::string& where) {
  const std::uint64_t length = read_length(bytes, where);
  const std::string text(reinterpret_cast<const char*>(bytes.data()) + 8, length);
  return {header_from_json(text, where), bytes.subspan(8 + length)};
}

/// The layout has been checked.
Tensor copy_tensor(const TensorEntry& entry, std::span<const std::uint8_t> data) {
  Tensor tensor(entry.dtype, entry.shape);
  if (entry.end > entry.begin) std::memcpy(tensor.mutable_data(), data.data() + entry.begin, entry.end - entry.begin);
  return tensor;
}

const std::string& required(const FileHeader& header, const std::string& key, const std::string& where) {
  const auto found = header.metadata.find(key);
  RAREFY_CHECK(
      found != header.metadata.end(), InputError,
      "{}: the metadata have no '{}': this is a safetensors file, but not a rarefy model (see docs/model-file.md)",
      where, key);
  return found->second;
}

void check_version(const FileHeader& header, const std::string& where) {
  const std::string& format = required(header, "format", where);
  RAREFY_CHECK(format == "rarefy", InputError, "{}: the format is '{}', expected 'rarefy'", where, format);
  const std::string& version = required(header, "version", where);
  const bool number =
      !version.empty() && version.size() < 9 && version.find_first_not_of("0123456789") == std::string::npos;
  RAREFY_CHECK(number, InputError, "{}: the version is '{}', expected a number", where, version);
  RAREFY_CHECK(std::stoi(version) <= kFileVersion, UnsupportedError,
               "{}: the file has version {}, this rarefy reads up to {}: update rarefy", where, version, kFileVersion);
}

/// A pipeline and the graph's own nodes must tell one story.
void check_pipeline(const Graph& graph, const Pipeline& pipeline, const std::string& where) {
  for (const Node& node : graph.nodes()) {
    if (node.op != "voxelize") continue;
    RAREFY_CHECK(node.numbers("voxel_size") == pipeline.voxel_size && node.text("rounding") == pipeline.rounding &&
                     node.numbers("crop_min") == pipeline.crop_min && node.numbers("crop_max") == pipeline.crop_max,
                 InputError, "{}: node '{}' voxelizes otherwise than the pipeline record says", where, node.name);
  }
}

}  // namespace

TensorFile parse_tensor_file(std::span<const std::uint8_t> bytes, const std::string& name) {
  auto [header, data] = split(bytes, name);
  check_layout(header, data.size(), name);
  std::stable_sort(header.tensors.begin(), header.tensors.end(),
                   [](const TensorEntry& a, const TensorEntry& b) { return a.begin < b.begin; });
  TensorFile file;
  file.metadata = std::move(header.metadata);
  for (const TensorEntry& entry : header.tensors) file.tensors.emplace_back(entry.name, copy_tensor(entry, data));
  return file;
}

Model Model::parse(std::span<const std::uint8_t> bytes, const std::string& name, const OpSet& ops) {
  const auto [header, data] = split(bytes, name);
  check_version(header, name);
  check_layout(header, data.size(), name);
  const std::string& graph_text = required(header, "graph", name);
  const auto pipeline_text = header.metadata.find("pipeline");
  const bool has_pipeline = pipeline_text != header.metadata.end();
  const std::string& stored = required(header, "crc32", name);
  const std::string found = checksum(graph_text, has_pipeline ? pipeline_text->second : std::string(), data);
  RAREFY_CHECK(stored == found, InputError, "{}: the checksum is {}, the contents give {}: the file is damaged", name,
               stored, found);

  Weights weights;
  for (const TensorEntry& entry : header.tensors) weights.set(entry.name, copy_tensor(entry, data));
  Graph graph = graph_from_json(graph_text, ops, name);
  std::optional<Pipeline> pipeline;
  if (has_pipeline) pipeline = pipeline_from_json(pipeline_text->second, name);
  if (pipeline) check_pipeline(graph, *pipeline, name);
  try {
    check_weights(graph, weights);
  } catch (const ShapeError& error) {
    fail<ShapeError>("{}: {}", name, error.what());
  }
  Model model(std::move(graph), std::move(weights), std::move(pipeline));
  for (const auto& [key, value] : header.metadata)
    if (key.rfind(kNotePrefix, 0) == 0) model.notes[key.substr(kNotePrefix.size())] = value;
  return model;
}

Model Model::load(const std::string& path, const OpSet& ops) {
  const Bytes bytes = read_file(path);
  return parse({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, path, ops);
}

std::vector<std::uint8_t> Model::serialize() const {
  FileHeader header;
  std::vector<std::uint8_t> data;
  for (const auto& [name, tensor] : weights_.all()) {
    const auto* begin = static_cast<const std::uint8_t*>(tensor.data());
    const std::uint64_t at = data.size();
    data.insert(data.end(), begin, begin + tensor.bytes());
    header.tensors.push_back({name, tensor.dtype(), tensor.shape(), at, data.size()});
  }
  header.metadata = {{"format", "rarefy"}, {"version", std::to_string(kFileVersion)}, {"graph", graph_to_json(graph_)}};
  if (pipeline_) header.metadata["pipeline"] = pipeline_to_json(*pipeline_);
  header.metadata["crc32"] =
      checksum(header.metadata["graph"], pipeline_ ? header.metadata["pipeline"] : std::string(), data);
  for (const auto& [key, value] : notes) header.metadata[std::string(kNotePrefix) + key] = value;

  std::string text = header_to_json(header);
  while ((text.size() + 8) % 64 != 0) text += ' ';  // tensors start aligned when the file is mapped
  std::vector<std::uint8_t> bytes(8 + text.size() + data.size());
  for (std::size_t i = 0; i < 8; ++i)
    bytes[i] = static_cast<std::uint8_t>(static_cast<std::uint64_t>(text.size()) >> (8 * i));
  std::memcpy(bytes.data() + 8, text.data(), text.size());
  if (!data.empty()) std::memcpy(bytes.data() + 8 + text.size(), data.data(), data.size());
  return bytes;
}

void Model::save(const std::string& path) const {
  const std::vector<std::uint8_t> bytes = serialize();
  write_file_atomic(path, {bytes_of(bytes)});
}

}  // namespace rarefy
