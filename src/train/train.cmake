# rarefy_train: the only library that links LibTorch. A precompiled header holds ATen, so that each file compiles in seconds.
find_package(Torch REQUIRED)
file(GLOB_RECURSE train_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/train/*.cpp)
add_library(rarefy_train STATIC ${train_sources})
rarefy_op_list(${CMAKE_CURRENT_SOURCE_DIR}/train/ops RAREFY_TRAIN_OP train_op_list.inc)
target_link_libraries(rarefy_train PUBLIC rarefy_internal rarefy_data rarefy_models)
# By path: the targets of Torch's own package bring flags of their build, and are not visible to other folders.
find_library(RAREFY_TORCH_CPU torch_cpu REQUIRED HINTS ${TORCH_INSTALL_PREFIX}/lib)
find_library(RAREFY_C10 c10 REQUIRED HINTS ${TORCH_INSTALL_PREFIX}/lib)
target_include_directories(rarefy_train SYSTEM PUBLIC $<BUILD_INTERFACE:${TORCH_INCLUDE_DIRS}>)
target_link_libraries(rarefy_train PUBLIC ${RAREFY_TORCH_CPU} ${RAREFY_C10})
target_precompile_headers(rarefy_train PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/train/pch.h)
