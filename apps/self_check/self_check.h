#pragma once
/// Proof on the CPU at hand that every kernel variant that it can run computes what it should: small cases with every
/// kind of tail against plain double-precision loops that share no code with the kernels.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "kernels/conv.h"
#include "kernels/conv_half.h"
#include "kernels/conv_int8.h"

namespace rarefy::self_check {

/// One property of a variant over all its cases.
struct Check {
  std::string name;
  int cases = 0;
  /// Largest |computed - reference| / (sum of the absolute values of what was added); infinite for a NaN, a value
  /// written outside its rows, or different bits from two runs. For what is counted, the share that differs.
  double error = 0;
  double tolerance = 0;
  std::string worst;  ///< the case that `error` comes from

  bool passed() const { return error <= tolerance; }
  /// Counts a case; keeps the larger error.
  void add(double case_error, const std::string& what);
};

/// What was found out about one variant.
struct Report {
  std::string family;   ///< "convolution", "16 bits", "8 bits", "batch norm", "sparse"
  std::string variant;  ///< "avx512", ...
  bool ran = false;
  std::string why_not;  ///< when it did not run
  std::vector<Check> checks;

  bool passed() const;
};

/// Why a variant that needs `isa` does not run here.
std::string not_available(cpu::Isa isa);

/// Convolution: forward, both gradients, linear rows, transposed maps; exact sums of integers.
std::vector<Report> check_convolutions(std::span<const ConvVariant> variants);
/// Convolution in 16 bits: every conversion, and sums of integers that must be rounded exactly once.
std::vector<Report> check_halves(std::span<const HalfVariant> variants);
/// 8-bit convolution: exact sums and stored bytes, with and without sign, extreme values among them.
std::vector<Report> check_integers(std::span<const Int8Variant> variants);
/// Batch normalisation as it is chosen for an instruction set: statistics, application, gradient. Sets the environment
/// variable RAREFY_ISA meanwhile.
Report check_batch_norm(cpu::Isa isa);
/// Voxelization, kernel maps of every kind, and features between points and voxels.
Report check_sparse();

}  // namespace rarefy::self_check
