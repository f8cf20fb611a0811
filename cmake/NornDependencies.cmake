# SPDX-License-Identifier: Apache-2.0
# Finds what norn needs and names the package of the distribution that has it.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
set(missing "")

function(norn_need target module package)
  pkg_check_modules(${target} QUIET IMPORTED_TARGET ${module})
  if(NOT ${target}_FOUND)
    set(missing "${missing}  ${module}: install ${package}\n" PARENT_SCOPE)
  endif()
endfunction()

norn_need(OPENCL OpenCL ocl-icd-opencl-dev)
norn_need(CLBLAST clblast libclblast-dev)
norn_need(PROTOBUFC libprotobuf-c libprotobuf-c-dev)
norn_need(PNG libpng libpng-dev)
norn_need(ZIP libzip libzip-dev)
norn_need(ZLIB zlib zlib1g-dev)
norn_need(CJSON libcjson libcjson-dev)
find_program(PROTOC_C NAMES protoc-c protoc-gen-c)
if(NOT PROTOC_C)
  string(APPEND missing "  protoc-c: install protobuf-c-compiler\n")
endif()
if(missing)
  message(FATAL_ERROR "norn needs packages that are not here (Debian's names):\n${missing}")
endif()

add_library(norn_dependencies INTERFACE)
target_link_libraries(norn_dependencies INTERFACE PkgConfig::OPENCL PkgConfig::CLBLAST PkgConfig::PROTOBUFC
                      PkgConfig::PNG PkgConfig::ZIP PkgConfig::ZLIB Threads::Threads m)
target_compile_definitions(norn_dependencies INTERFACE CL_TARGET_OPENCL_VERSION=120)
add_library(norn_json INTERFACE)
target_link_libraries(norn_json INTERFACE PkgConfig::CJSON)

# norn_protobuf(OUT_SOURCES FILE.proto): C sources that protoc-c makes.
function(norn_protobuf out proto)
  if(NOT EXISTS ${proto})
    set(${out} "" PARENT_SCOPE)
    return()
  endif()
  get_filename_component(base ${proto} NAME_WE)
  get_filename_component(dir ${proto} DIRECTORY)
  set(gen ${PROJECT_BINARY_DIR}/generated)
  file(MAKE_DIRECTORY ${gen})
  add_custom_command(OUTPUT ${gen}/${base}.pb-c.c ${gen}/${base}.pb-c.h
                     COMMAND ${PROTOC_C} --c_out=${gen} --proto_path=${dir} ${proto}
                     DEPENDS ${proto} VERBATIM)
  set_source_files_properties(${gen}/${base}.pb-c.c PROPERTIES COMPILE_OPTIONS "-w")
  set(${out} ${gen}/${base}.pb-c.c ${gen}/${base}.pb-c.h PARENT_SCOPE)
endfunction()
