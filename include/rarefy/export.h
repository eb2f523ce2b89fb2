#pragma once
/// RAREFY_API marks what the shared library shows; everything else is hidden.
#if defined(_WIN32)
#define RAREFY_API
#else
#define RAREFY_API __attribute__((visibility("default")))
#endif
