#include "train/checkpoint.h"

#include <cstring>
#include <string_view>

#include "base/check.h"
#include "base/file.h"

namespace rarefy::train {
namespace {

constexpr std::string_view kMagic = "rarefy checkpoint 1\n";

/// FNV-1a on 64-bit words (Fowler, Noll, Vo), the rest bytewise: finds damage, no more is asked.
std::uint64_t checksum(ByteView bytes) {
  std::uint64_t hash = 0xCBF29CE484222325ull;
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes.data() + i, 8);
    hash = (hash ^ word) * 0x100000001B3ull;
  }
  for (; i < bytes.size(); ++i) hash = (hash ^ static_cast<std::uint64_t>(bytes[i])) * 0x100000001B3ull;
  return hash;
}

class Writer {
 public:
  void raw(const void* data, std::size_t size) {
    const auto* bytes = static_cast<const std::byte*>(data);
    bytes_.insert(bytes_.end(), bytes, bytes + size);
  }
  template <class T>
  void value(T v) {
    raw(&v, sizeof v);
  }
  void text(std::string_view s) {
    value(static_cast<std::uint64_t>(s.size()));
    raw(s.data(), s.size());
  }
  const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

class Reader {
 public:
  Reader(ByteView bytes, const std::string& file) : bytes_(bytes), file_(file) {}
  void raw(void* target, std::uint64_t size) {
    RAREFY_CHECK(size <= bytes_.size() - at_, InputError, "{}: ends at byte {}, expected {} more bytes at byte {}",
                 file_, bytes_.size(), size, at_);
    std::memcpy(target, bytes_.data() + at_, size);
    at_ += size;
  }
  template <class T>
  T value() {
    T v;
    raw(&v, sizeof v);
    return v;
  }
  std::uint64_t count(std::size_t element) {
    const auto n = value<std::uint64_t>();
    RAREFY_CHECK(n <= (bytes_.size() - at_) / element, InputError, "{}: a length of {} at byte {} leads beyond the end",
                 file_, n, at_ - 8);
    return n;
  }
  std::string text() {
    std::string s(count(1), '\0');
    raw(s.data(), s.size());
    return s;
  }

 private:
  ByteView bytes_;
  const std::string& file_;
  std::size_t at_ = 0;
};

}  // namespace

void save_checkpoint(const std::string& path, const Checkpoint& checkpoint) {
  Writer out;
  out.raw(kMagic.data(), kMagic.size());
  out.value(checkpoint.step);
  out.value(checkpoint.seconds);
  out.text(checkpoint.settings);
  out.text(checkpoint.curve);
  out.value(static_cast<std::uint64_t>(checkpoint.state.size()));
  for (const auto& [name, values] : checkpoint.state) {
    out.text(name);
    out.value(static_cast<std::uint64_t>(values.size()));
    out.raw(values.data(), values.size() * sizeof(float));
  }
  const std::uint64_t sum = checksum(out.bytes());
  out.value(sum);
  write_file_atomic(path, ByteView(out.bytes()));
}

Checkpoint load_checkpoint(const std::string& path) {
  const Bytes bytes = read_file(path);
  RAREFY_CHECK(
      bytes.size() >= kMagic.size() + 8 && std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) == 0, InputError,
      "{}: is no checkpoint of this version of rarefy-train (expected it to begin with \"rarefy checkpoint 1\")", path);
  const ByteView body(bytes.data(), bytes.size() - 8);
  std::uint64_t sum;
  std::memcpy(&sum, bytes.data() + body.size(), 8);
  RAREFY_CHECK(sum == checksum(body), InputError, "{}: is damaged (its checksum does not fit)", path);
  Reader in(body.subspan(kMagic.size()), path);
  Checkpoint result;
  result.step = in.value<std::int64_t>();
  result.seconds = in.value<double>();
  result.settings = in.text();
  result.curve = in.text();
  const auto entries = in.value<std::uint64_t>();
  for (std::uint64_t i = 0; i < entries; ++i) {
    std::string name = in.text();
    std::vector<float> values(in.count(sizeof(float)));
    in.raw(values.data(), values.size() * sizeof(float));
    result.state.emplace(std::move(name), std::move(values));
  }
  return result;
}

}  // namespace rarefy::train
