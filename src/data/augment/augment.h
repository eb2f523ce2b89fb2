#pragma once
/// Augmentations of labelled scans. All randomness comes from the Rng that is passed in, so a sample is a function of
/// (seed, epoch, sample), never of thread or order. Points that are not finite pass through.
#include <cstdint>
#include <limits>
#include <vector>

#include "base/rng.h"
#include "data/sample.h"

namespace rarefy {

/// Turns every point by `angle` radians about the z axis, counter-clockwise seen from above.
void rotate_z(Sample& sample, double angle);
/// Multiplies all coordinates.
void scale(Sample& sample, float factor);
/// Mirrors one axis (0 = x, 1 = y).
void flip(Sample& sample, int axis);
/// Adds one offset to all points, metres.
void translate(Sample& sample, float x, float y, float z);
/// Adds noise of standard deviation `sigma` metres per axis: the sum of four uniforms, bounded by 3.5 sigma.
void jitter(Sample& sample, float sigma, Rng& rng);
/// Drops each point with probability `share`.
void drop_points(Sample& sample, double share, Rng& rng);
/// Forgets the intensity of the whole scan.
void drop_intensity(Sample& sample);
/// Multiplies intensity and clips it to 0..1.
void scale_intensity(Sample& sample, float factor);
/// Keeps the `max_points` points nearest (horizontally) to a randomly drawn point; nothing happens when there are no
/// more than that. Which one is drawn: any, or with probability `rare_share` one of the classes in `rare`.
void keep_region(Sample& sample, std::int64_t max_points, Rng& rng, const std::vector<std::uint8_t>& rare = {},
                 double rare_share = 0.0);

/// Swaps a sector: points of `sample` with azimuth in [begin, begin + width) give way to those of `other` there.
/// The result has intensity only when both have it.
/// Source: Xiao et al., PolarMix, NeurIPS 2022, scene-level swapping.
void swap_sector(Sample& sample, const Sample& other, double begin, double width);
/// Pastes all points of the classes in `classes` from `other`, once per angle, turned about z by it.
/// Source: as above, instance-level rotation and paste.
void rotate_paste(Sample& sample, const Sample& other, const std::vector<std::uint8_t>& classes,
                  const std::vector<double>& angles);

/// What training does to a scan. The defaults are those of the literature for outdoor segmentation; every zero
/// switches its step off. Steps draw from separate streams: switching one off does not change the others.
struct AugmentOptions {
  double rotate = 3.14159265358979;   ///< angle uniform in +-rotate
  double flip_x = 0.5, flip_y = 0.5;  ///< probabilities
  double scale_min = 0.95, scale_max = 1.05;
  double translate = 0.1;        ///< standard deviation in metres, per axis
  double jitter = 0.01;          ///< the standard deviation in metres is uniform in 0..this: sensors differ
  double drop_points = 0.1;      ///< the share is uniform in 0..this
  double drop_intensity = 0.2;   ///< probability for the whole scan
  double intensity_scale = 0.2;  ///< factor uniform in 1 +- this
  double swap_sector = 0.5;      ///< probability, where there is a second scan; half a turn is swapped
  double rotate_paste = 0.5;     ///< probability, where there is a second scan; three turned copies
  std::vector<std::uint8_t> paste_classes{1, 2, 3, 4, 5, 6, 7, 18};    ///< training ids that rotate_paste multiplies
  std::int64_t max_points = std::numeric_limits<std::int64_t>::max();  ///< region kept, after mixing
  double rare_region = 0.5;  ///< probability that the region surrounds a point of paste_classes
};

/// Applies all of it: mixing with `partner` (may be null), region, then the geometric and intensity steps.
Sample augment(const Sample& sample, const Sample* partner, const AugmentOptions& options, const Rng& rng);

}  // namespace rarefy
