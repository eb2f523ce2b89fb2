#include "base/file.h"

#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "base/check.h"

namespace rarefy {
namespace {

std::string reason(int system_error) { return std::generic_category().message(system_error); }

/// Closes on every way out.
struct Descriptor {
  int value;
  ~Descriptor() {
    if (value >= 0) ::close(value);
  }
};

int open_retrying(const char* path, int flags, mode_t mode = 0) {
  int descriptor;
  do {
    descriptor = ::open(path, flags | O_CLOEXEC, mode);
  } while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

[[noreturn]] void fail_read(const std::string& path, int system_error) {
  const char* advice = "";
  if (system_error == ENOENT) advice = "; check the name and the current folder";
  if (system_error == EISDIR) advice = "; name a file inside it";
  fail<IoError>("{}: cannot read: {}{}", path.empty() ? "(empty path)" : path, reason(system_error), advice);
}

template <class Container>
Container read_all(const std::string& path) {
  const Descriptor file{open_retrying(path.c_str(), O_RDONLY)};
  if (file.value < 0) fail_read(path, errno);
  struct stat status {};
  if (::fstat(file.value, &status) != 0) fail_read(path, errno);
  if (S_ISDIR(status.st_mode)) fail_read(path, EISDIR);
  Container content;
  // One byte more than the size says, so that an ordinary file ends after two reads without growing the buffer.
  const std::size_t expected = S_ISREG(status.st_mode) ? static_cast<std::size_t>(status.st_size) : 0;
  content.resize(std::max<std::size_t>(expected + 1, 4096));
  std::size_t have = 0;
  while (true) {
    const ssize_t got = ::read(file.value, content.data() + have, content.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_read(path, errno);
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
    if (have == content.size()) content.resize(content.size() * 2);
  }
  content.resize(have);
  return content;
}

}  // namespace

Bytes read_file(const std::string& path) { return read_all<Bytes>(path); }

std::string read_text(const std::string& path) { return read_all<std::string>(path); }

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  struct stat status {};
  const bool exists = ::stat(path_.c_str(), &status) == 0;
  if (path_.empty()) fail<IoError>("(empty path): cannot write: no file name given");
  if (exists && S_ISDIR(status.st_mode))
    fail<IoError>("{}: cannot write: it is a folder; name a file inside it", path_);
  if (exists && !S_ISREG(status.st_mode)) {
    // Renaming over a device would replace the device itself.
    descriptor_ = open_retrying(path_.c_str(), O_WRONLY);
    if (descriptor_ < 0) give_up(errno);
    return;
  }
  const std::size_t slash = path_.rfind('/');
  const std::size_t stem = slash == std::string::npos ? 0 : slash + 1;
  const auto self = reinterpret_cast<std::uintptr_t>(this);  // differs between files that are written at once
  int attempt = 0;
  do {
    temporary_ = fmt::format("{}.{}.{}-{:x}-{}.tmp", path_.substr(0, stem), path_.substr(stem, 100), ::getpid(), self,
                             attempt++);
    descriptor_ = open_retrying(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0666);
  } while (descriptor_ < 0 && errno == EEXIST);
  if (descriptor_ < 0) give_up(errno);
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::discard() noexcept {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  descriptor_ = -1;
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::give_up(int system_error) {
  discard();
  const char* advice = "";
  if (system_error == ENOENT) advice = "; its folder does not exist";
  if (system_error == ENOSPC || system_error == EDQUOT) advice = "; free some space or choose another folder";
  fail<IoError>("{}: cannot write: {} (after {} bytes; nothing was left behind){}", path_, reason(system_error),
                written_, advice);
}

void AtomicFile::write(ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::write(descriptor_, bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) give_up(errno);
    written_ += static_cast<std::uint64_t>(done);
    bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
}

void AtomicFile::commit() {
  const int descriptor = descriptor_;
  descriptor_ = -1;
  const bool closed = ::close(descriptor) == 0;  // network file systems report a full disk here
  int system_error = closed ? 0 : errno;
  if (closed && !temporary_.empty() && ::rename(temporary_.c_str(), path_.c_str()) != 0) system_error = errno;
  if (system_error == 0) return;
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  give_up(system_error);
}

void write_file_atomic(const std::string& path, std::span<const ByteView> chunks) {
  AtomicFile file(path);
  for (const ByteView chunk : chunks) file.write(chunk);
  file.commit();
}

std::vector<std::string> list_directory(const std::string& path) {
  std::error_code error;
  std::vector<std::string> names;
  std::filesystem::directory_iterator entry(path, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    std::string name = entry->path().filename().string();
    if (!name.starts_with('.')) names.push_back(std::move(name));
  }
  if (error) fail<IoError>("{}: cannot list the folder: {}", path, error.message());
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> expand_pattern(const std::string& pattern) {
  if (pattern.find_first_of("*?[") == std::string::npos || path_exists(pattern)) return {pattern};
  glob_t found{};
  std::vector<std::string> paths;
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0) paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  return paths;
}

void make_directories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) fail<IoError>("{}: cannot make the folder: {}", path, error.message());
}

bool is_directory(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

bool path_exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

std::string join_path(std::string_view folder, std::string_view name) {
  if (folder.empty() || folder.ends_with('/')) return std::string(folder).append(name);
  return std::string(folder).append("/").append(name);
}

std::string_view file_name(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

}  // namespace rarefy
