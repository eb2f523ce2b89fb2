#pragma once
/// Layers in one call each: `conv(x, ...)` inserts the map nodes itself. A thin layer over GraphBuilder.
#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "rarefy/graph.h"

namespace rarefy {

/// Where even kernels and strided convolutions put their outputs: `block` as MinkowskiEngine, `padded` as spconv and
/// dense convolution. See docs/coordinates.md.
enum class Rule : std::uint8_t { block, padded };

/// Options of a convolution; one number for all axes, or one per axis.
struct ConvOptions {
  std::int64_t channels = 0;  ///< output channels
  std::vector<std::int64_t> kernel = {3};
  std::vector<std::int64_t> stride = {1};
  std::vector<std::int64_t> dilation = {1};
  std::vector<std::int64_t> padding = {0};  ///< padded rule only
  Rule rule = Rule::block;
  std::vector<std::int64_t> cells = {0};  ///< padded rule, strided: outputs lie on a grid of so many cells; 0 = no end
  /// Not empty: the kernel is this list of offsets, one number per axis each, in units of the input's stride times
  /// dilation, and `kernel` means nothing. Weights are in the order of the list. cross_offsets() makes one.
  std::vector<std::vector<std::int64_t>> offsets = {};
  std::int64_t groups = 1;  ///< divides input and output channels; as many as both: a depthwise convolution
  bool bias = false;
  std::string name = {};
};

/// Offsets of a kernel in the form of a cross: the centre, and `reach` sites in both directions along each axis, in
/// lexicographic order. @throws UsageError unless 1 <= dims <= 4 and reach >= 1.
RAREFY_API std::vector<std::vector<std::int64_t>> cross_offsets(int dims, std::int64_t reach = 1);

/// Which sites features of different spaces are brought to: those of any of them, or those of all.
enum class Sites : std::uint8_t { united, common };

/// Options of voxelization; see Pipeline (model.h).
struct VoxelOptions {
  std::vector<double> voxel_size = {0.05, 0.05, 0.05};  ///< metres per axis; its length is the number of dimensions
  std::string rounding = "floor";                       ///< or "round_minus_min", "floor_from_crop"
  std::vector<double> crop_min = {};                    ///< empty = none
  std::vector<double> crop_max = {};
};

/// Options of devoxelization.
struct DevoxelizeOptions {
  std::vector<double> voxel_size = {1.0};  ///< positions are points: edge of the finest voxel, one number or per axis
  bool nearest = false;     ///< the row of the voxel that holds the position, and zeros where there is none
  bool renormalise = true;  ///< weights of missing neighbours go to the others (as torchsparse), else they are lost
};

/// Options of squeeze-and-excitation.
struct SqueezeExciteOptions {
  std::int64_t reduction = 16;      ///< of the channels between the two layers; at least one channel stays
  std::string pooling = "mean";     ///< of a sample's rows: "mean" as published, "max" or "sum"
  std::string activation = "relu";  ///< between the two layers: any element-wise op of one input
  std::string gate = "sigmoid";     ///< of what the channels are multiplied by; "hardsigmoid" as in MobileNetV3
  bool bias = true;                 ///< of both layers
  std::string name = {};            ///< the layers are NAME.squeeze and NAME.excite
};

/// A dense box of sites; see the op "to_dense".
struct DenseOptions {
  std::vector<std::int64_t> min;  ///< per axis, in finest voxels: first site, a multiple of the stride
  std::vector<std::int64_t> max;  ///< per axis: end of the box, itself outside
  int axes = 0;                   ///< how many leading axes the image keeps (2: a view from above); 0 = all
};

/// Images whose pixels are the rows of samples, line by line, and the square patches that fill them.
struct PatchOptions {
  std::int64_t height = 224;
  std::int64_t width = 224;
  std::int64_t patch = 16;
  bool pad = false;  ///< patches at the lower and right edge may be incomplete; what they lack is zero
};

/// Lines and columns of a grid of tokens over an image; its rows are line by line.
struct GridOptions {
  std::int64_t height = 14;
  std::int64_t width = 14;
};

/// Square windows over such a grid; see the op "windows".
struct WindowOptions {
  std::int64_t height = 14;
  std::int64_t width = 14;
  std::int64_t window = 7;
  std::int64_t shift = 0;  ///< of the cuts, less than the window
};

/// Which rows of a sample stay; see the op "select_top".
struct SelectTopOptions {
  double share = 1.0;                ///< of the rows that may go
  std::int64_t count = 0;            ///< not 0: at most so many of them instead
  std::int64_t leading = 0;          ///< rows at the beginning of a sample that stay and are not counted
  bool round_up = true;              ///< share times rows
  bool fuse = false;                 ///< a sample that loses rows gets one more at its end, for fuse_rows
  std::optional<double> above = {};  ///< of those that share or count keep, the rows with a score above it
};

/// Which rows of a sample become one; see the op "match_tokens".
struct MatchTokensOptions {
  std::int64_t remove = 0;   ///< rows that a sample loses
  std::int64_t heads = 1;    ///< the metric is the mean over so many groups of channels
  std::int64_t leading = 0;  ///< 1: the first row is never merged into another
};

/// Adds layers to a graph; each call returns the features that the layer makes.
class RAREFY_API Builder : public GraphBuilder {
 public:
  using GraphBuilder::GraphBuilder;

  /// Points of one or several scans: float32 [P, channels], coordinates first. Returns the features.
  ValueId points(std::int64_t channels, std::string name = "points");
  /// A sparse tensor given from outside: features float32 [N, channels] over coordinates of `dims` axes at `stride`.
  ValueId sparse_input(std::int64_t channels, int dims, std::vector<std::int64_t> stride = {1}, std::string name = "x");

  /// What voxelize makes.
  struct Voxelized {
    ValueId space;  ///< the voxels
    ValueId index;  ///< points to voxels
  };
  /// The voxels that points fall into; sorted, free of duplicates.
  Voxelized voxelize(ValueId points, const VoxelOptions& options);
  /// Features of voxels from those of points; reduction is "mean", "first", "max" or "sum".
  ValueId reduce(ValueId point_features, ValueId index, std::string reduction = "mean");
  /// Columns (x[columns[i]] - offset[i]) * scale[i].
  ValueId select_columns(ValueId x, std::vector<std::int64_t> columns, std::vector<double> offset,
                         std::vector<double> scale, std::string name = {});
  /// Voxel features (or labels) back to points; points without a voxel get `fill`.
  ValueId gather(ValueId x, ValueId index, double fill = 0.0, std::string name = {});

  /// For each row of `from` (a sparse space, or the features of points, coordinates first) the row of the site of
  /// `space`, at any stride, that holds it. For points, `voxel_size` is the edge of the finest voxel.
  ValueId locate(ValueId from, ValueId space, std::vector<double> voxel_size = {1.0});
  /// Features of voxels at the positions of `at` (a sparse space, or the features of points): multilinear interpolation
  /// between the voxels around, whose place is their lower corner. Returns x where `at` is the space of x.
  ValueId voxel_to_point(ValueId x, ValueId at, const DevoxelizeOptions& options = {});
  /// Mean of the features of the sites (of x's space) that each site of `space` holds; zeros where there is none.
  /// Returns x where `space` is the space of x. Points: reduce(x, locate(...)).
  ValueId point_to_voxel(ValueId x, ValueId space);

  /// Stride 1: submanifold (block rule, odd kernel). Stride > 1: a new, coarser space, shared by equal calls.
  /// A kernel of 1 without stride becomes a linear layer.
  ValueId conv(ValueId x, const ConvOptions& options);
  /// Inverse of the strided convolution that leads from `like`'s space to x's: reads x, writes over `like`'s space.
  ValueId conv_transposed(ValueId x, ValueId like, const ConvOptions& options);
  /// Creates all sites that the kernel reaches from x's.
  ValueId conv_generative(ValueId x, const ConvOptions& options);
  /// Convolution from x's space to the space of `like`: any coordinates of the caller's (a second sparse input), or
  /// those of another layer, at the stride of x's space or a multiple. To a finer space: conv_transposed.
  ValueId conv_to(ValueId x, ValueId like, const ConvOptions& options);
  /// As conv, but each channel meets only itself: options.channels and options.groups mean nothing. The same as conv
  /// with as many groups as input and output channels.
  ValueId depthwise_conv(ValueId x, const ConvOptions& options);

  /// Maximum ("max"), "mean" or "sum" over the sites that the kernel reaches; the kernel options are those of conv, so
  /// that stride 1 keeps the space and others make a coarser one. Empty sites take no part.
  ValueId pool(ValueId x, std::string reduction, const ConvOptions& options);
  /// Back from a pooling (or strided convolution) with these options: each row of `like`'s space takes the mean (or
  /// "sum", "max") of the coarse rows that read it. With kernel = stride: its only one, nearest-neighbour up-sampling.
  ValueId unpool(ValueId x, ValueId like, const ConvOptions& options, std::string reduction = "mean");
  /// The same over all rows of each sample: one row per sample.
  ValueId global_pool(ValueId x, std::string reduction = "mean");
  /// Features of samples on every row of their sample in `like`'s space.
  ValueId broadcast(ValueId x, ValueId like);
  /// x times, per sample and channel, sigmoid(W2 relu(W1 mean of the sample's rows)).
  /// Hu, Shen, Sun: Squeeze-and-Excitation Networks, CVPR 2018, section 3.
  ValueId squeeze_excite(ValueId x, const SqueezeExciteOptions& options = {});

  /// The values over one space: the union of their sites (rows that a value lacks are zero) or the intersection. What
  /// lives on one space already is left alone. @throws ShapeError when strides or dimensions differ.
  std::vector<ValueId> align(std::vector<ValueId> values, Sites sites);
  /// Sum, product and concatenation of features over different spaces.
  ValueId add_aligned(std::vector<ValueId> values, Sites sites = Sites::united);
  ValueId multiply_aligned(std::vector<ValueId> values, Sites sites = Sites::common);
  ValueId concat_aligned(std::vector<ValueId> values, Sites sites = Sites::united);

  /// What select makes.
  struct Selected {
    ValueId space;        ///< of the rows that stay
    ValueId row_of_kept;  ///< index: gather(x, row_of_kept) are the features of the rows that stay
    ValueId kept_of_row;  ///< index: gather(kept, kept_of_row, fill) puts them back in their places
  };
  /// The rows whose score (one channel, float32 or uint8) is above the threshold; and the first `leading` rows of each
  /// sample.
  Selected select(ValueId scores, double threshold = 0.0, std::int64_t leading = 0);
  /// Features of the rows of x whose score is above the threshold, over a space of their own. Scores over other sites
  /// than x's (a mask of the caller's, as a second sparse input) count where the sites meet; a site that has none goes.
  ValueId prune(ValueId x, ValueId scores, double threshold = 0.0);

  /// A dense image of sparse features: a sparse tensor over every site of the box; cells along the axes that it lacks
  /// become channels, c * Z + z.
  ValueId to_dense(ValueId x, const DenseOptions& options);
  /// Features of a dense image at the sites of `space`: the inverse of to_dense with the same options.
  ValueId from_dense(ValueId image, ValueId space, const DenseOptions& options);

  /// Features of pixels, line by line, as those of the sites of a grid with axes line and column: x for convolutions.
  ValueId image_sites(ValueId x, std::int64_t height, std::int64_t width);
  /// One row per patch of the image, the pixels of which are the rows of x: [patches, patch * patch * channels].
  ValueId patches(ValueId x, const PatchOptions& options);
  /// Row x of a table of parameters, [count, channels], for features x of one column.
  ValueId embedding(ValueId x, std::int64_t count, std::int64_t channels, std::string name = {});
  /// The place of each row of x in its sample, from 0.
  ValueId positions(ValueId x);
  /// x with one more row in front of each sample: a learned one.
  ValueId class_token(ValueId x, std::string name = {});
  /// The first row of each sample.
  ValueId first_row(ValueId x);
  /// Multi-head attention within each sample; see the op "attention". @param sizes  [N, 1], or -1: one each
  ValueId attention(ValueId q, ValueId k, ValueId v, std::int64_t heads, ValueId sizes = -1, std::string name = {});
  /// The attention that each row gets from the "first" row of its sample or from "all": see the op of the same name.
  ValueId attention_scores(ValueId q, ValueId k, std::int64_t heads, std::string from = "all", ValueId sizes = -1);
  /// The rows of highest score in each sample.
  Selected select_top(ValueId scores, const SelectTopOptions& options);
  /// Features of the rows that select_top with `fuse` keeps, and the weighted sum of those that go.
  ValueId fuse_rows(ValueId x, ValueId weights, const Selected& selected);

  /// What windows makes.
  struct Windows {
    ValueId space;            ///< of the windows, line by line
    ValueId window_of_token;  ///< index: reduce(x, window_of_token) sums features up per window
  };
  /// Windows over the tokens of images.
  Windows windows(ValueId tokens, const WindowOptions& options);
  /// What window_rows makes.
  struct WindowRows {
    ValueId space;         ///< tokens, window by window; its samples are the windows
    ValueId token_of_row;  ///< index: gather(x, token_of_row) brings tokens into this order
    ValueId row_of_token;  ///< index: gather(y, row_of_token) brings them back; overlay where not all windows are there
  };
  /// The tokens of all windows, or of those that a selection kept (its row_of_kept).
  WindowRows window_rows(ValueId tokens, ValueId windows, const WindowOptions& options, ValueId row_of_kept = -1);
  /// Attention within windows with a learned bias per relative position; see the op of the same name.
  ValueId window_attention(ValueId q, ValueId k, ValueId v, ValueId token_of_row, std::int64_t heads,
                           const WindowOptions& options, std::string name = {});
  /// Features of one grid on another over the same images: bilinear interpolation.
  ValueId resize_grid(ValueId x, ValueId to, const GridOptions& from, const GridOptions& onto);
  /// Each row of x times its number of `factors`, [N, 1].
  ValueId scale_rows(ValueId x, ValueId factors);

  /// What match_tokens makes.
  struct Merged {
    ValueId space;          ///< of the rows that are left
    ValueId merged_of_row;  ///< index: gather(y, merged_of_row) gives each old row what it became
  };
  /// Similar rows of a sample become one: the mean of their features is merge_rows.
  Merged match_tokens(ValueId metric, const MatchTokensOptions& options);
  /// Mean of the rows that became one, weighted by sizes [N, 1]; the new sizes are reduce(sizes, merged_of_row, "sum").
  ValueId merge_rows(ValueId x, ValueId sizes, ValueId merged_of_row);
  ValueId l2_normalize(ValueId x);

  /// Layers over the rows of x; see the op of the same name.
  ValueId linear(ValueId x, std::int64_t channels, bool bias = true, std::string name = {});
  ValueId batch_norm(ValueId x, double epsilon = 1e-5, double momentum = 0.1, std::string name = {});
  ValueId layer_norm(ValueId x, double epsilon = 1e-5, std::string name = {});
  ValueId group_norm(ValueId x, std::int64_t groups, double epsilon = 1e-5, std::string name = {});
  ValueId relu(ValueId x);
  ValueId prelu(ValueId x, std::string name = {});
  ValueId softmax(ValueId x);
  /// Drops a share `ratio` of the elements in training; which ones depends on the name.
  ValueId dropout(ValueId x, double ratio = 0.5, std::string name = {});
  ValueId add_values(ValueId a, ValueId b);
  ValueId concat(std::vector<ValueId> values);
  /// Number of the largest channel as uint8.
  ValueId argmax(ValueId x);
  /// Space of a features value.
  ValueId space_of(ValueId x) const { return type(x).space; }

 private:
  /// Map of a layer over x: of the space onto itself, or to a coarser one when strided.
  ValueId window(ValueId x, const ConvOptions& options);
  ValueId convolve(ValueId x, ValueId map, const ConvOptions& options);
};

}  // namespace rarefy
