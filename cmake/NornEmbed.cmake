# SPDX-License-Identifier: Apache-2.0
# norn_embed_kernels(OUT_SOURCES FILE.cl...): one C file that holds every kernel source by name. Each kernel file
# becomes an array of its bytes, made by cmake itself at build time whenever the file changes.
function(norn_embed_kernels out)
  set(gen ${PROJECT_BINARY_DIR}/generated/kernels)
  file(MAKE_DIRECTORY ${gen})
  set(sources "")
  set(decls "")
  set(rows "")
  foreach(cl ${ARGN})
    get_filename_component(name ${cl} NAME)
    string(MAKE_C_IDENTIFIER ${name} id)
    add_custom_command(OUTPUT ${gen}/${id}.c
                       COMMAND ${CMAKE_COMMAND} -DIN=${cl} -DOUT=${gen}/${id}.c -DID=${id}
                               -P ${PROJECT_SOURCE_DIR}/cmake/EmbedFile.cmake
                       DEPENDS ${cl} ${PROJECT_SOURCE_DIR}/cmake/EmbedFile.cmake VERBATIM)
    list(APPEND sources ${gen}/${id}.c)
    string(APPEND decls "extern const char norni_cl_${id}[];\n")
    string(APPEND rows "    {\"${name}\", norni_cl_${id}},\n")
  endforeach()
  file(CONFIGURE OUTPUT ${gen}/table.c @ONLY CONTENT
"/* Generated: the kernel sources by name. */
#include \"ops/kernel_source.h\"
${decls}
const norni_kernel_file norni_kernel_files[] = {
${rows}    {0, 0}};
")
  set(${out} ${sources} ${gen}/table.c PARENT_SCOPE)
endfunction()
