#include "common/scan_page.h"

#include "base/cpu.h"
#include "base/file.h"
#include "common/build_info.h"
#include "common/command.h"
#include "data/metrics/confusion.h"
#include "report/scan_report.h"

namespace rarefy::cli {
namespace {

void add_scores(const ScanPageInput& in, report::ScanReport& r) {
  const auto& classes = in.segmenter.pipeline().classes;
  ConfusionMatrix matrix(static_cast<int>(classes.size()));
  matrix.add(in.truth, in.labels);
  const Score score = matrix.score();
  for (std::size_t c = 0; c < classes.size(); ++c) r.scores.push_back({classes[c].name, score.iou[c], score.points[c]});
  r.mean_iou = score.miou;
  r.accuracy = score.accuracy;
}

}  // namespace

std::string make_scan_page(const ScanPageInput& in) {
  const Segmenter& s = in.segmenter;
  report::ScanReport r;
  r.scan = in.scan_name;
  r.model = file_name(s.path());
  r.cloud = {.xyz = in.scan.xyz, .intensity = in.scan.intensity, .labels = in.labels, .truth = in.truth, .classes = {}};
  for (const ClassSpec& c : s.pipeline().classes) r.cloud.classes.push_back({c.name, c.color});
  r.statistics = in.statistics;
  r.profile = in.profile;
  r.voxel_size = s.pipeline().voxel_size;
  if (r.statistics.voxels > 0) {
    r.sparsity =
        report::analyse(s.model().graph(), r.statistics.sizes, report::occupied_box(in.scan.xyz, r.voxel_size));
  }
  r.parameters = s.model().graph().parameters();
  if (!in.truth.empty()) add_scores(in, r);
  r.threads = s.threads();
  r.peak_gflops = in.peak_gflops;
  r.cpu = cpu::model_name();
  r.isa = cpu::name(cpu::allowed_isa());
  r.version = build_info().version;
  r.commit = build_info().commit;
  r.notices = in.notices;
  r.command = command_line();
  return report::scan_page(r);
}

}  // namespace rarefy::cli
