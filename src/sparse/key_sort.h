#pragma once
/// Radix sort of packed keys, over the bits that vary only.
#include <cstdint>
#include <span>
#include <vector>

#include "sparse/coords.h"

namespace rarefy {

/// Where the fields of a key lie: field 0 is the batch index, field 1 + a is axis a.
struct KeyFields {
  int count = 0;
  int shift[kMaxDims + 1] = {};
  std::uint64_t mask[kMaxDims + 1] = {};  ///< of the field's value, after the shift
  explicit KeyFields(const KeyLayout& layout);
  std::uint64_t value(std::uint64_t key, int field) const { return key >> shift[field] & mask[field]; }
};

/// Smallest box of field values that holds a set of keys.
struct KeyBox {
  std::uint64_t low[kMaxDims + 1];
  std::uint64_t high[kMaxDims + 1];
  /// The empty box.
  KeyBox();
  bool empty() const { return low[0] > high[0]; }
  void add(const KeyBox& other);
};
KeyBox bounding_box(const KeyFields& fields, std::span<const std::uint64_t> keys);

/// Order-preserving bijection between the keys of a box and small integers: what never varies takes no bits.
class KeyCompactor {
 public:
  KeyCompactor(const KeyFields& fields, const KeyBox& box);
  int bits() const { return bits_; }
  std::uint64_t compact(std::uint64_t key) const {
    const std::uint64_t relative = key - base_;
    std::uint64_t result = 0;
    for (int f = 0; f < count_; ++f) result |= (relative >> from_[f] & mask_[f]) << to_[f];
    return result;
  }
  std::uint64_t expand(std::uint64_t small) const {
    std::uint64_t result = 0;
    for (int f = 0; f < count_; ++f) result |= (small >> to_[f] & mask_[f]) << from_[f];
    return result + base_;
  }

 private:
  int count_ = 0;
  int bits_ = 0;
  int from_[kMaxDims + 1] = {};
  int to_[kMaxDims + 1] = {};
  std::uint64_t mask_[kMaxDims + 1] = {};
  std::uint64_t base_ = 0;
};

/// Sorts words by their bits [first_bit, first_bit + bits); stable. `other` is working memory.
void radix_sort(std::vector<std::uint64_t>& words, std::vector<std::uint64_t>& other, int first_bit, int bits);

/// Sorts keys and removes duplicates, in place. `other` is working memory.
void sort_unique(const KeyLayout& layout, std::vector<std::uint64_t>& keys, std::vector<std::uint64_t>& other);

/// Bits that number `n` things from zero.
int index_bits(std::int64_t n);

/// Stable sort of the indices of `keys`, which have `key_bits` low bits in use; keys of all ones in 64 bits are left
/// out. Afterwards the low index_bits(keys.size()) bits of words[i] are the index of the i-th smallest key.
/// @return whether the remaining high bits of each word are the key itself (else they are only its upper part)
bool sort_indices(std::span<const std::uint64_t> keys, int key_bits, std::vector<std::uint64_t>& words,
                  std::vector<std::uint64_t>& other);
inline constexpr std::uint64_t kNoKey = ~std::uint64_t{0};

/// Sets out.batch_begin from its sorted keys.
void set_batches(const KeyLayout& layout, std::int64_t batches, Coords& out);

}  // namespace rarefy
