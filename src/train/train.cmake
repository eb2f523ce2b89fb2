# rarefy_train: the only library that links LibTorch. A precompiled header holds ATen, so that each file compiles in seconds.
find_package(Torch REQUIRED)
file(GLOB_RECURSE train_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/train/*.cpp)
add_library(rarefy_train STATIC ${train_sources})
rarefy_op_list(${CMAKE_CURRENT_SOURCE_DIR}/train/ops RAREFY_TRAIN_OP train_op_list.inc)
target_link_libraries(rarefy_train PUBLIC rarefy_internal rarefy_data rarefy_models)
# Torch's own flags are not taken over: only its headers and libraries, as system headers.
target_include_directories(rarefy_train SYSTEM PRIVATE ${TORCH_INCLUDE_DIRS})
target_link_libraries(rarefy_train PUBLIC ${TORCH_LIBRARIES})
target_precompile_headers(rarefy_train PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/train/pch.h)
