#include "data/formats/detail/lzf.h"

#include <cstring>

namespace rarefy::formats {

std::optional<std::size_t> lzf_unpack(ByteView input, std::span<std::byte> output) {
  std::size_t in = 0, out = 0;
  while (in < input.size()) {
    const std::size_t start = in;
    const auto control = std::to_integer<std::size_t>(input[in++]);
    if (control < 32) {
      const std::size_t length = control + 1;
      if (length > input.size() - in || length > output.size() - out) return start;
      std::memcpy(output.data() + out, input.data() + in, length);
      in += length;
      out += length;
      continue;
    }
    std::size_t length = control >> 5;
    if (length == 7) {
      if (in == input.size()) return start;
      length += std::to_integer<std::size_t>(input[in++]);
    }
    length += 2;
    if (in == input.size()) return start;
    const std::size_t distance = ((control & 31) << 8 | std::to_integer<std::size_t>(input[in++])) + 1;
    if (distance > out || length > output.size() - out) return start;
    for (std::size_t i = 0; i < length; ++i, ++out) output[out] = output[out - distance];  // the ranges may overlap
  }
  if (out != output.size()) return in;
  return std::nullopt;
}

}  // namespace rarefy::formats
