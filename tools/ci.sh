# The stages of ./dev ci; sourced by dev. `./dev ci STAGE` runs one alone, as ./dev ci runs them all, in this order:
stages=(set-up notorch asan tsan fuzz tidy test)

# Only the last stage shows CTest's own summary, so that it closes the output.
quiet_ctest() {  # quiet_ctest PRESET [CTEST-ARG..]
  local log=build/$1/ctest.log
  if ! run_ctest "$@" >"$log" 2>&1; then
    grep -vE '^ *(Start +[0-9]+:|[0-9]+/[0-9]+ Test .*(Passed|Skipped))' "$log" | tail -200
    die "tests of preset $1 failed (see $log)"
  fi
  say "$1: $(grep -c ' Passed ' "$log") tests passed, $(grep -c 'Skipped' "$log" || true) skipped"
}

tests_of() {  # tests_of PRESET FOLDER..: the test programs of these folders that exist
  local preset=$1
  shift
  ninja -C "build/$preset" -t targets all | sed -n 's/^\([a-z_]*_tests\): phony$/\1/p' |
    grep -xE "($(IFS='|'; echo "$*"))_tests"
}

sanitizer_stage() {  # sanitizer_stage PRESET FOLDER..: builds only the programs that it runs
  local preset=$1
  shift
  local programs
  configure "$preset"
  programs=$(tests_of "$preset" "$@")
  compile "$preset" $programs
  quiet_ctest "$preset" --timeout 300 -R "^($(IFS='|'; echo "$*"))\\." -LE slow -E '[Ss]low'
}

stage_set-up() { set_up ci; }
stage_notorch() {
  configure notorch
  compile notorch
  quiet_ctest notorch
  tools/check_isa_leaks build/notorch
}
stage_asan() {
  export RAREFY_QUICK=1
  sanitizer_stage asan base sparse kernels graph runtime models data simulate report
}
stage_tsan() {
  export RAREFY_QUICK=1
  # Some kernels lay memory out where the sanitizer wants its own; without address randomisation it never collides.
  if setarch "$(uname -m)" -R true 2>/dev/null; then
    ctest() { setarch "$(uname -m)" -R ctest "$@"; }
  fi
  sanitizer_stage tsan base sparse kernels runtime
}
stage_fuzz() {
  configure fuzz
  compile fuzz
  tools/run_fuzzers build/fuzz/bin 10
}
stage_tidy() { tools/tidy_changed --build build/notorch; }
stage_test() { test_all; }

export RAREFY_WERROR=ON RAREFY_NINJA_FLAGS=--quiet
if (($#)); then
  declare -F "stage_$1" >/dev/null || die "no stage '$1'; stages: ${stages[*]}" 2
  werror=ON
  "stage_$1"
else
  failed=()
  for stage in "${stages[@]}"; do
    say "ci: stage $stage"
    begin=$SECONDS
    verdict=passed
    ./dev ci "$stage" || { verdict=FAILED && failed+=("$stage"); }
    minutes=$(((SECONDS - begin) * 10 / 60))
    summary+="  $stage $verdict after $((minutes / 10)).$((minutes % 10)) minutes"$'\n'
    # Before the last stage, so that nothing follows CTest's summary.
    if [[ $stage == tidy ]]; then printf 'ci: stages so far\n%s' "$summary" >&2; fi
    if [[ $stage == set-up && $verdict == FAILED ]]; then break; fi
  done
  if ((${#failed[@]})); then
    printf '%s' "$summary" >&2
    die "failed stages: ${failed[*]}"
  fi
fi
