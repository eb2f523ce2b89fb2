#include "compress/heads.h"

#include <algorithm>
#include <cmath>
#include <list>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/cpu.h"
#include "common/command.h"
#include "common/console.h"
#include "common/interrupt.h"
#include "common/machine.h"
#include "compress/choose_ratios.h"
#include "compress/drop_heads.h"
#include "measure/array_inputs.h"

namespace rarefy::cli {
namespace {

using Json = nlohmann::ordered_json;

/// Mean cosine between the rows of the first output of two models that is real numbers with as many rows in both.
double agreement(const Model& before, const Model& after, const std::vector<Inputs>& inputs, Executor& executor) {
  Session dense(before, {.executor = &executor}), sparse(after, {.executor = &executor});
  double sum = 0;
  std::int64_t rows = 0;
  for (const Inputs& input : inputs) {
    check_interrupt();
    const Outputs &wanted = dense.run(input), &found = sparse.run(input);
    for (const Outputs::Entry& entry : wanted.all()) {
      const TensorView other = found[entry.name];
      if (entry.view.dtype != Dtype::f32 || other.rows != entry.view.rows) continue;
      const auto a = entry.view.matrix<const float>(), b = other.matrix<const float>();
      for (std::int64_t r = 0; r < a.rows; ++r) {
        double ab = 0, aa = 0, bb = 0;
        for (std::int64_t c = 0; c < a.cols; ++c) {
          ab += static_cast<double>(a(r, c)) * b(r, c);
          aa += static_cast<double>(a(r, c)) * a(r, c);
          bb += static_cast<double>(b(r, c)) * b(r, c);
        }
        sum += aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : (aa == bb ? 1 : 0);
      }
      rows += a.rows;
      break;
    }
  }
  return rows > 0 ? sum / static_cast<double>(rows) : 0;
}

std::string list_of(const compress::HeadChoice& how) {
  std::vector<std::int64_t> kept(how.order.begin(), how.order.begin() + how.keep);
  std::sort(kept.begin(), kept.end());
  std::string text;
  for (const std::int64_t h : kept) text += fmt::format("{}{}", text.empty() ? "" : " ", h);
  return text;
}

}  // namespace

void drop_heads(const HeadOptions& o) {
  const Model model = Model::load(o.model);
  const auto executor = make_thread_pool(o.threads);
  const std::string busy = busy_warning();
  if (!busy.empty()) notice(busy);
  std::list<ArrayInputs> arrays;
  std::vector<Inputs> inputs;
  for (const std::string& file : o.inputs) inputs.push_back(arrays.emplace_back(model.graph(), file).inputs());
  const auto scores = compress::head_magnitudes(model, inputs, executor.get());
  const auto choice = compress::choose_heads(
      scores, {.ratio = o.ratio, .rule = o.cascade ? compress::HeadRule::cascade : compress::HeadRule::block});
  Model result = compress::drop_heads(model, choice);
  result.notes["heads"] = fmt::format("{:g} of the last block's heads are left out, {}, as seen on {} inputs", o.ratio,
                                      o.cascade ? "in a cascade" : "block by block", inputs.size());
  const double cosine = agreement(model, result, inputs, *executor);
  const auto times = compress::time_in_turns(inputs[inputs.size() / 2], *executor, o.repetitions)({model, result});
  const double before = compress::whole_ms(times[0]), after = compress::whole_ms(times[1]);
  result.save(o.out);
  std::int64_t kept = 0, all = 0;
  Json blocks = Json::array();
  for (const compress::HeadScores& s : scores) {
    const compress::HeadChoice& how = choice.at(s.attention);
    kept += how.keep;
    all += static_cast<std::int64_t>(how.order.size());
    blocks.push_back({{"attention", s.attention},
                      {"heads", how.order.size()},
                      {"kept", std::vector<std::int64_t>(how.order.begin(), how.order.begin() + how.keep)},
                      {"magnitude", s.magnitude}});
  }
  if (o.json)
    return print_json({{"out", o.out},
                       {"what", "heads"},
                       {"ratio", o.ratio},
                       {"cpu", cpu::model_name()},
                       {"threads", o.threads},
                       {"busy", !busy.empty()},
                       {"inputs", inputs.size()},
                       {"heads", all},
                       {"heads_kept", kept},
                       {"cosine", cosine},
                       {"ms", {{"before", before}, {"after", after}}},
                       {"blocks", blocks}});
  print("{:<40} {:>6}  heads that stay\n", "attention", "heads");
  for (const compress::HeadScores& s : scores)
    print("{:<40} {:>6}  {}\n", s.attention, s.magnitude.size(), list_of(choice.at(s.attention)));
  print("\n{} of {} heads stay; a whole run takes {:.2f} ms, {:.2f} before ({:.2f} times as fast)\n", kept, all, after,
        before, before / after);
  print("The first output agrees with that of all heads at a cosine of {:.3f} (mean over rows)\n{}\n", cosine, o.out);
}

}  // namespace rarefy::cli
