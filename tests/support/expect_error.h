#pragma once
/// Expectations on error messages.
#include <gmock/gmock.h>

#include <initializer_list>
#include <string>

#include "rarefy/error.h"

namespace rarefy::test {

/// Expects f() to throw E with a message that contains all of `parts`.
template <class E, class F>
void expect_error(F&& f, std::initializer_list<std::string> parts) {
  try {
    f();
    std::string wanted;
    for (const std::string& part : parts) wanted += " '" + part + "'";
    ADD_FAILURE() << "no error was thrown; wanted one that says" << wanted;
  } catch (const Error& error) {
    EXPECT_NE(dynamic_cast<const E*>(&error), nullptr) << "another type of error was thrown: " << error.what();
    for (const std::string& part : parts) EXPECT_THAT(std::string(error.what()), testing::HasSubstr(part));
  }
}

}  // namespace rarefy::test
