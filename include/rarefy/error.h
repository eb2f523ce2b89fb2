#pragma once
/// Errors thrown by rarefy. All derive from `Error`; each names what was expected, what was found, where, what to do.
#include <cstdint>
#include <stdexcept>
#include <string>

#include "rarefy/export.h"

namespace rarefy {

/// Base of everything the library throws on purpose. Thrown before any output is touched.
class RAREFY_API Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

/// The caller asked for something that makes no sense (unknown option, wrong combination, missing input).
class RAREFY_API UsageError : public Error {
 public:
  using Error::Error;
};

/// Input data are damaged or do not have the declared form. The message starts with the file, and the position if
/// known.
class RAREFY_API InputError : public Error {
 public:
  using Error::Error;
};

/// Shapes, spaces or types of a graph do not fit. The message names the node and the axis.
class RAREFY_API ShapeError : public Error {
 public:
  using Error::Error;
};

/// The request is legitimate, but this build, CPU or version cannot serve it.
class RAREFY_API UnsupportedError : public Error {
 public:
  using Error::Error;
};

/// A run would need more memory than the system has or than it may use. The message names both. Nothing of it was
/// taken; with less data the same session runs.
class RAREFY_API MemoryError : public Error {
 public:
  using Error::Error;
};

/// The operating system refused to read or write. The message carries the path and the system's reason.
class RAREFY_API IoError : public Error {
 public:
  using Error::Error;
};

/// A stop token or a deadline ended the run between two nodes.
class RAREFY_API Cancelled : public Error {
 public:
  using Error::Error;
};

}  // namespace rarefy
