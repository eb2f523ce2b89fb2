#pragma once
/// Small text helpers for messages.
#include <string>
#include <string_view>
#include <vector>

namespace rarefy {

/// "a, b, c".
std::string join(const std::vector<std::string>& parts, std::string_view separator = ", ");

/// The candidates nearest to `wanted` by edit distance (at most three), for "did you mean" messages; all when few.
std::vector<std::string> nearest(std::string_view wanted, const std::vector<std::string>& candidates);

/// "; did you mean 'x' or 'y'?" or "; known: a, b, c" - appended to messages about unknown names.
std::string did_you_mean(std::string_view wanted, const std::vector<std::string>& candidates);

}  // namespace rarefy
