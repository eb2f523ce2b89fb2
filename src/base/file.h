#pragma once
/// Whole files in and out. Reading says why it failed; writing either replaces the file completely or leaves it alone.
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rarefy {

using Bytes = std::vector<std::byte>;
using ByteView = std::span<const std::byte>;

/// The bytes of a contiguous container of trivially copyable elements (vector, array, string, string_view).
template <class Container>
ByteView bytes_of(const Container& container) {
  return {reinterpret_cast<const std::byte*>(container.data()), container.size() * sizeof(*container.data())};
}

/// The whole file; pipes and devices are read until they end.
/// @throws IoError with the path and the system's reason (missing, a directory, no permission, ...)
Bytes read_file(const std::string& path);

/// The whole file as text.
/// @throws IoError as read_file
std::string read_text(const std::string& path);

/// A file that appears under its name only when complete: writes go to a temporary name in the same folder, commit()
/// renames it. Destroyed without commit, or after any failure (full disk included), the temporary is removed and a
/// file that was there before is intact. An existing device or pipe (/dev/null) is written in place.
class AtomicFile {
 public:
  /// @throws IoError when the folder is missing or not writable, or `path` is a folder
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Appends. @throws IoError with the path and the system's reason
  void write(ByteView bytes);
  /// Closes and renames; nothing may be written afterwards. @throws IoError
  void commit();

 private:
  [[noreturn]] void give_up(int system_error);
  void discard() noexcept;

  std::string path_;
  std::string temporary_;  ///< empty: written in place
  int descriptor_ = -1;
  std::uint64_t written_ = 0;
};

/// Writes the chunks one after the other as one file, all or nothing (see AtomicFile).
/// @throws IoError
void write_file_atomic(const std::string& path, std::span<const ByteView> chunks);
inline void write_file_atomic(const std::string& path, std::initializer_list<ByteView> chunks) {
  write_file_atomic(path, std::span<const ByteView>(chunks.begin(), chunks.size()));
}
inline void write_file_atomic(const std::string& path, ByteView bytes) { write_file_atomic(path, {bytes}); }
inline void write_file_atomic(const std::string& path, std::string_view text) {
  write_file_atomic(path, {bytes_of(text)});
}

/// Names (not paths) in a folder, sorted bytewise; hidden entries and temporaries are left out.
/// @throws IoError
std::vector<std::string> list_directory(const std::string& path);

/// Paths that match a shell pattern (*, ?, [...]), sorted; a path without such characters stands for itself, whether it
/// exists or not. Empty when nothing matches.
std::vector<std::string> expand_pattern(const std::string& pattern);

/// Makes the folder and its parents if missing. @throws IoError
void make_directories(const std::string& path);

/// True when the path exists and is a folder.
bool is_directory(const std::string& path);
/// True when the path exists.
bool path_exists(const std::string& path);
/// `folder/name`, without doubling the separator.
std::string join_path(std::string_view folder, std::string_view name);
/// The last component of a path.
std::string_view file_name(std::string_view path);

}  // namespace rarefy
